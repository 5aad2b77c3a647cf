/** As the text of a regular expression, to be part of another one: a UUID in lower case, as the database makes them. */
export const UUID_TEXT = "[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}";
/** The only names of dynos and apps that come near the file system. */
export const UUID: RegExp = new RegExp(`^${UUID_TEXT}$`);
