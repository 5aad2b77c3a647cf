/** Every id a caller can meet, with its HTTP status (platform-api 1.6). Ids never change. */
export const STATUS_OF = {
  bad_request: 400,
  unauthorized: 401,
  payment_required: 402,
  forbidden: 403,
  suspended: 403,
  not_found: 404,
  not_acceptable: 406,
  conflict: 409,
  gone: 410,
  payload_too_large: 413,
  requested_range_not_satisfiable: 416,
  invalid_params: 422,
  confirmation_required: 423,
  rate_limit: 429,
  internal_server_error: 500,
  service_unavailable: 503,
} as const;

export type PlatformErrorId = keyof typeof STATUS_OF;

/** Something the caller did or can mend. The message says what happened, to which thing, and what to do next. */
export class PlatformError extends Error {
  readonly id: PlatformErrorId;
  /** With `not_found`: which kind of thing (`app`, `release`, ...). */
  readonly resource: string | undefined;
  constructor(
    id: PlatformErrorId,
    message: string,
    options: { readonly resource?: string; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = "PlatformError";
    this.id = id;
    this.resource = options.resource;
  }
  get status(): number {
    return STATUS_OF[this.id];
  }
}
