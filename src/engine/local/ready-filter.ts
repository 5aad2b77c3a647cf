/** The seccomp profile as the runtime compiles it, base64; null: every start compiles it. */
export interface ReadyFilter {
  readonly base64: string | null;
}

/** crun takes a filter that is compiled already, by this annotation. */
const ANNOTATION = "run.oci.seccomp_bpf_data";

/** The bundle with the compiled filter in the profile's place; as it is without one. Pure. */
export function withFilter(bundle: unknown, base64: string | null): unknown {
  if (base64 === null) return bundle;
  const { linux, annotations, ...rest } = bundle as BundleLike; // of `bundleOf`
  const { seccomp: _compiled, ...others } = linux;
  return { ...rest, linux: others, annotations: { ...annotations, [ANNOTATION]: base64 } };
}

interface BundleLike {
  readonly linux: Readonly<Record<string, unknown>>;
  readonly annotations?: Readonly<Record<string, string>>;
}
