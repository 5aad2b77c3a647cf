/** What somebody may do to an app, as at Heroku. Each is given by itself; `view` goes with every other. */
export const PERMISSIONS = ["view", "deploy", "operate", "manage"] as const;

export type Permission = (typeof PERMISSIONS)[number];

/** What each of them means, as the API says it. */
export const PERMISSION_DESCRIPTIONS: Readonly<Record<Permission, string>> = {
  view: "See the app, its dynos, releases and log",
  deploy: "Push code, roll back, read and change config vars, run commands",
  operate: "Scale, restart and configure: sizes, domains, maintenance, features, how dynos live",
  manage: "Rename and destroy the app, say who has access to it, read its audit log",
};

/** What a collaborator is given when nothing is said: all but `manage`. */
export const COLLABORATOR_PERMISSIONS: readonly Permission[] = ["view", "deploy", "operate"];

export function isPermission(word: string): word is Permission {
  return (PERMISSIONS as readonly string[]).includes(word);
}

/** Each once, `view` among them, in the order of the list. */
export function wholePermissions(some: readonly Permission[]): readonly Permission[] {
  return PERMISSIONS.filter((each) => each === "view" || some.includes(each));
}
