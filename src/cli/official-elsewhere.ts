const PIPELINES = "push to the first app of a pipeline, then stator pipelines:promote";
const CI = "there is no CI here";
const REVIEW_APPS = "there are no review apps here";
const AUTOSCALING = "there is no autoscaling here, stator ps:scale says how many dynos run";
const FAVORITES = "there are no favorites here, stator apps lists every app";
const METRICS = "stator routing:metrics and stator ps:usage show what an app does";

/** What the official CLI takes to hosts of Heroku's, whatever platform it is pointed at, and what to do instead. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "pipelines:connect": PIPELINES,
  "pipelines:setup": PIPELINES,
  "pipelines:diff": "type stator pipelines:diff",
  "ci:run": CI,
  "ci:rerun": CI,
  "ci:debug": CI,
  "reviewapps:enable": REVIEW_APPS,
  "reviewapps:disable": REVIEW_APPS,
  "ps:autoscale:enable": AUTOSCALING,
  "ps:autoscale:disable": AUTOSCALING,
  "apps:favorites": FAVORITES,
  "apps:favorites:add": FAVORITES,
  "apps:favorites:remove": FAVORITES,
  "apps:errors": METRICS,
  notifications: "stator webhooks:add tells of an app's events",
};

/** Why a command of the official CLI must not be started with a token of ours; undefined: it asks the platform alone. */
export function whyElsewhere(args: readonly string[]): string | undefined {
  const [command = ""] = args;
  const instead = Object.hasOwn(ELSEWHERE, command) ? ELSEWHERE[command] : undefined;
  if (instead === undefined || args.includes("--help")) return undefined;
  return `heroku ${command} asks a service of Heroku's, which would be sent the token of this platform: ${instead}.`;
}
