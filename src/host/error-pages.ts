import type { ErrorCodeName } from "../router/error-codes.ts";

/** What a visitor sees where no dyno answered (spec 7.8). Constant text: nothing of a request gets into a page. */
interface Page {
  readonly title: string;
  readonly text: string;
}

const APPLICATION_ERROR: Page = {
  title: "Application error",
  text: "An error occurred in the application and this page could not be served. If you are its owner, look at its log: <code>stator logs --tail -a APP</code>",
};

const BUSY: Page = {
  title: "Application error",
  text: "This application has more requests than it can take right now. Please try again later.",
};

const PAGES: Partial<Record<ErrorCodeName, Page>> = {
  H11: BUSY,
  H22: BUSY,
  H31: {
    title: "Misdirected request",
    text: "This connection was made for another address. Please try again.",
  },
  H80: {
    title: "Offline for maintenance",
    text: "This application is undergoing maintenance right now. Please check back later.",
  },
  H81: {
    title: "Nothing here yet",
    text: "This application has not been deployed yet. If you are its owner: <code>stator git:remote -a APP &amp;&amp; git push stator main</code>",
  },
  H14: {
    title: "Application error",
    text: "No web process of this application is running. If you are its owner: <code>stator ps:scale web=1 -a APP</code>",
  },
};

export const NO_SUCH_APP: string = html({
  title: "No such app",
  text: "There is no application at this address. If you are its owner, look at its names: <code>stator info -a APP</code>",
});
export const BAD_REQUEST: string = html({
  title: "Bad request",
  text: "Your browser sent a request that could not be understood.",
});

export const UNAUTHORIZED: string = html({
  title: "Sign in",
  text: "This application asks for a name and a password.",
});
export const BAD_METHOD: string = html({ title: "Method not allowed", text: "CONNECT is for proxies." });
export const BAD_EXPECTATION: string = html({
  title: "Expectation failed",
  text: "The request expects something else than <code>100-continue</code>.",
});

/** The page of a code, HTML. `within` may put something else in the place of what it says. */
export function errorPage(code: ErrorCodeName, within: (body: string) => string = (body) => body): string {
  return html(PAGES[code] ?? APPLICATION_ERROR, within);
}

/** A whole HTTP answer, as HAProxy's `errorfile` wants it. */
export function rawAnswer(status: number, reason: string, page: string): string {
  const headers = [
    `HTTP/1.1 ${status} ${reason}`,
    `Content-Length: ${Buffer.byteLength(page)}`,
    "Content-Type: text/html; charset=utf-8",
    "Cache-Control: no-cache, no-store",
  ];
  return `${headers.join("\r\n")}\r\n\r\n${page}`;
}

function html({ title, text }: Page, within = (body: string): string => body): string {
  return `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;color:#333;max-width:36em;margin:18vh auto;padding:0 1em}h1{font-weight:400}</style></head>
<body>${within(`<h1>${title}</h1><p>${text}</p>`)}</body>
</html>
`;
}
