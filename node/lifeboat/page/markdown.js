// Posts as nodes of the page: CommonMark without raw HTML, then a sanitiser that trusts nothing before it.
// As node/web/rendering.py: the same tags, links to the web only, pictures become links, nothing is fetched.

const TAGS = ["a", "blockquote", "br", "code", "em", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "strong", "ul"];
const LINK_REL = "noopener noreferrer nofollow ugc";
const MAX_URL_CHARS = 2_048;
const MAX_NESTING = 20;
const EXCERPT_CHARS = 1_100;
const TOP_HEADING = 3;
const BARE_URL = /https?:\/\/[^\s<>"'`{}|\\^]{1,2048}/gi;
const TRAILING = /[.,;:!?…*_~'"»”’]+$/;
const LIKE_HOST = /^(?:https?:\/\/)?((?:[\p{L}\p{N}_-]{1,63}\.){1,8}[a-z]{2,24})(?![\p{L}\p{N}_@.-])/iu;
const BIDI_REACHING = /[\u202a-\u202e\u2066-\u2069]/g;
// eslint-disable-next-line no-control-regex
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f\ufff9-\ufffb\ufeff]/g;
const MARKS = /([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{3})[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+/g;

// Prose with its lines and tabs, without controls and marks that turn text around.
function cleanText(said) {
  const lines = said.replace(/\r\n?|\u2028/g, "\n").replace(/\u2029/g, "\n\n");
  return lines.replace(CONTROLS, "").replace(BIDI_REACHING, "").replace(MARKS, "$1");
}

// One line with nothing invisible in it but joiners; may come out empty.
function cleanName(said) {
  const kept = said.slice(0, 400).normalize("NFC").replace(/[\n\r\t\p{Z}]/gu, " ")
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}]/gu, (char) => (char === "\u200c" || char === "\u200d" ? char : ""));
  const line = kept.split(" ").filter(Boolean).join(" ").replace(MARKS, "$1").slice(0, 200);
  return line.replace(/[\u200c\u200d ]/g, "") ? line : "";
}

// The beginning of a text, and whether anything was left off.
function excerptOf(said) {
  if (said.length <= EXCERPT_CHARS + 200) return [said, false];
  let head = said.slice(0, EXCERPT_CHARS);
  for (const mark of ["\n\n", "\n", " "]) {
    const at = head.lastIndexOf(mark);
    if (at > EXCERPT_CHARS / 2) {
      head = head.slice(0, at);
      break;
    }
  }
  return [`${head.trimEnd()} …`, true];
}

function isWebAddress(url) {
  if (url.length > MAX_URL_CHARS || !/^https?:\/\//i.test(url)) return false;
  try {
    const parts = new URL(url);
    return Boolean(parts.hostname) && !parts.username && !parts.password && !/^https?:\/\/[^/?#]*@/i.test(url);
  } catch {
    return false;
  }
}

function makeMarkdown() {
  const markdown = new library.MarkdownIt("commonmark", { html: false, breaks: true, maxNesting: MAX_NESTING });
  markdown.core.ruler.after("inline", "unhush", (state) => {
    const { Token } = state;
    for (const token of state.tokens) {
      if (token.type === "heading_open" || token.type === "heading_close") {
        token.tag = `h${Math.min(Number(token.tag[1]) - 1 + TOP_HEADING, 6)}`;
      } else if (token.type === "inline" && token.children) token.children = [...tamed(token.children, Token)];
    }
  });
  return markdown;
}

// Links and pictures become safe links or plain text.
function* tamed(tokens, Token) {
  let href = null;
  let said = "";
  for (const token of tokens) {
    if (token.type === "link_open") {
      const target = token.attrGet("href") ?? "";
      if (isWebAddress(target)) {
        href = target;
        said = "";
        yield token;
      }
    } else if (token.type === "link_close") {
      if (href !== null) {
        yield token;
        yield* trueHost(said, href, Token);
      }
      href = null;
    } else if (token.type === "image") {
      const words = wordsIn(token);
      said += words;
      const source = token.attrGet("src") ?? "";
      if (href === null && isWebAddress(source)) yield* linkTokens(source, words ? `picture: ${words}` : "picture", Token);
      else yield textToken(words, Token);
    } else if (token.type === "text" && href === null) {
      yield* withLinks(token.content, Token);
    } else {
      said += token.content;
      yield token;
    }
  }
}

// When a link's words name another site than it leads to, the true one stands behind it.
function* trueHost(said, href, Token) {
  const host = new URL(href).hostname.replace(/^www\./, "");
  const named = LIKE_HOST.exec(said.trim());
  if (named && named[1].toLowerCase().replace(/^www\./, "") !== host) yield textToken(` (${host})`, Token);
}

function* withLinks(said, Token) {
  let at = 0;
  for (const match of said.matchAll(BARE_URL)) {
    let url = match[0].replace(TRAILING, "");
    while (url.endsWith(")") && url.split(")").length > url.split("(").length) url = url.slice(0, -1).replace(TRAILING, "");
    if (!isWebAddress(url)) continue;
    yield textToken(said.slice(at, match.index), Token);
    yield* linkTokens(url, url, Token);
    at = match.index + url.length;
  }
  yield textToken(said.slice(at), Token);
}

function* linkTokens(href, words, Token) {
  const open = new Token("link_open", "a", 1);
  open.attrSet("href", href);
  yield open;
  yield textToken(words, Token);
  yield new Token("link_close", "a", -1);
}

function textToken(content, Token) {
  const token = new Token("text", "", 0);
  token.content = content;
  return token;
}

function wordsIn(image) {
  return (image.children ?? []).map((child) => (child.children ? wordsIn(child) : child.content)).join("");
}

let markdown = null;

// A post's text as nodes of the page.
function render(said) {
  markdown ??= makeMarkdown();
  const fragment = library.DOMPurify.sanitize(markdown.render(cleanText(said)), {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ["href", "start"],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    ALLOWED_URI_REGEXP: /^https?:\/\//i,
    RETURN_DOM_FRAGMENT: true,
  });
  for (const link of fragment.querySelectorAll("a")) {
    link.rel = LINK_REL;
    link.target = "_blank";
  }
  for (const block of fragment.querySelectorAll("pre")) block.tabIndex = 0; // what scrolls sideways can be reached by keys
  return fragment;
}
