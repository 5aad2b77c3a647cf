/** What the commands read of the API's answers (platform-api 7); the API sends more. */
export interface AppJson {
  readonly id: string;
  readonly name: string;
  readonly owner: { readonly email: string };
  readonly region: { readonly name: string };
  readonly stack: { readonly name: string };
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
  readonly user: { readonly email: string };
}

export interface AccountJson {
  readonly email: string;
}

/** Newest releases first. */
export function newestReleases(count: number): { readonly Range: string } {
  return { Range: `version ..; max=${count}, order=desc` };
}
