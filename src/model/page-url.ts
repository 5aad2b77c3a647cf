/** Bytes of a page's address as it stands in HTML: with its surroundings it must fit a line of HAProxy's commands. */
export const PAGE_URL_MAX = 4096;

/** What a page's address looks like in the form that `pageUrl` gives: nothing that could end an attribute. */
export const PAGE_URL = /^https?:\/\/[A-Za-z0-9._~:/?#[\]@!$&()*+,;=%|{}^-]+$/;

/**
 * The address of an app's own error or maintenance page (spec 7.8) in its normal form; null for what is none: other schemes,
 * relative ones, what is too long. What could end an attribute of HTML is percent-encoded.
 */
export function pageUrl(text: string | undefined): string | null {
  if (text === undefined || !URL.canParse(text)) return null;
  const url = new URL(text);
  if (url.protocol !== "http:" && url.protocol !== "https:") return null;
  const href = url.href.replace(/["'<>`\\]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  return PAGE_URL.test(href) && escapedUrl(href).length <= PAGE_URL_MAX ? href : null;
}

/** As it stands in an attribute. */
export function escapedUrl(href: string): string {
  return href.replaceAll("&", "&amp;");
}
