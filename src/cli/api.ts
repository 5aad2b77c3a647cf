/** What the commands read of the API's answers (platform-api 7); the API sends more. */
export interface AppJson {
  readonly id: string;
  readonly name: string;
  readonly owner: { readonly id: string; readonly email: string };
  readonly region: { readonly name: string };
  readonly stack: { readonly name: string };
  readonly build_stack: { readonly name: string };
  readonly acm: boolean;
  /** Ours; absent on an older platform, and on Heroku. */
  readonly isolation?: string;
  readonly git_url: string;
  readonly web_url: string | null;
  readonly repo_size: number | null;
  readonly slug_size: number | null;
  readonly released_at: string | null;
}

export interface DynoJson {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly command: string;
  readonly size: string;
  readonly state: string;
  readonly updated_at: string;
  readonly attach_url: string | null;
  readonly release: { readonly version: number };
  /** Ours, of a crashed one. */
  readonly next_start_at?: string | null;
  /** Ours. */
  readonly ready?: boolean;
}

/** `/apps/:app/dynos/:dyno/exit`: ours. */
export interface DynoExitJson {
  readonly ended_at: string | null;
  readonly exit_status: number | null;
}

/** `/apps/:app/ended-dynos`: ours. */
export interface EndedDynoJson {
  readonly name: string;
  readonly command: string;
  readonly exit_status: number | null;
  readonly ended_at: string;
}

/** `/apps/:app/runtime`: ours. */
export interface RuntimeJson {
  readonly asleep_since: string | null;
  readonly boot_timeout: number;
  readonly cycling_hour: number | null;
  readonly daily_cycling: boolean;
  readonly preboot_delay: number;
  readonly release_timeout: number;
  readonly restart_policy: string;
  readonly rollout: string;
  readonly sleep_after: number | null;
  readonly stop_grace: number;
}

/** `/apps/:app/routing`: ours. */
export interface RoutingJson {
  readonly balance: string;
  readonly basic_auth_users: readonly string[];
  readonly dyno_protocol: string;
  readonly first_byte_timeout: number;
  readonly https_redirect: boolean;
  readonly rolling_timeout: number;
  readonly session_affinity: boolean;
}

/** Ours: `GET /apps/:app/usage`. null: the machine does not count it. */
export interface UsageJson {
  readonly name: string;
  readonly type: string;
  readonly size: string;
  readonly memory_rss_bytes: number;
  readonly memory_cache_bytes: number;
  readonly memory_swap_bytes: number;
  readonly memory_quota_bytes: number;
  readonly memory_percent: number;
  readonly cpu_percent: number;
  readonly processes: number;
  readonly processes_max: number;
  readonly disk_used_bytes: number | null;
  readonly disk_quota_bytes: number;
  readonly io_read_bytes: number | null;
  readonly io_write_bytes: number | null;
  readonly network_in_bytes: number | null;
  readonly network_out_bytes: number | null;
}

/** Ours: of `GET /apps/:app/router-metrics`. */
export interface RequestCountsJson {
  readonly codes: Readonly<Record<string, number>>;
  readonly held: number;
  readonly per_second: number;
  readonly requests: number;
  readonly retries: number;
  readonly service_ms: Readonly<Record<"max" | "p50" | "p95" | "p99", number>> | null;
  readonly statuses: Readonly<Record<"1xx" | "2xx" | "3xx" | "4xx" | "5xx" | "other", number>>;
}
export interface RouterMetricsJson extends RequestCountsJson {
  readonly dynos: readonly (RequestCountsJson & { readonly id: string; readonly name: string })[];
  readonly lines_lost: number;
  readonly window_seconds: number;
}

export interface FormationJson {
  readonly type: string;
  readonly quantity: number;
  readonly size: string;
}

export interface ReleaseJson {
  readonly id: string;
  readonly version: number;
  readonly description: string;
  readonly status: string;
  readonly current: boolean;
  readonly created_at: string;
  readonly eligible_for_rollback?: boolean;
  readonly slug: { readonly id: string } | null;
  readonly output_stream_url?: string | null;
  /** Ours. */
  readonly failure?: string | null;
  readonly user: { readonly email: string };
}

export interface AccountJson {
  readonly id: string;
  readonly email: string;
}

/** Newest releases first. */
export function newestReleases(count: number): { readonly Range: string } {
  return { Range: `version ..; max=${count}, order=desc` };
}
