// What a person sees, drawn from what passed the check and from nothing else. Text goes in as text, never as markup;
// the one exception went through markdown.js.

const PAGE_POSTS = 40; // drawn at once; five thousand posts would take the browser a second to lay out
const MAX_IMAGE_TYPES = [
  ["image/png", "89504e470d0a1a0a"], ["image/jpeg", "ffd8ff"], ["image/gif", "47494638"], ["image/webp", "52494646........57454250"],
];
const SHELVES = [
  ["all", "Everything", "house"], ["posts", "Posts", "message-circle"], ["articles", "Articles", "pen-line"],
  ["replies", "Replies", "corner-up-left"], ["pictures", "Pictures", "copy"],
];

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false || value === undefined) continue;
    if (name === "on") for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function icon(name) {
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawing.setAttribute("class", "i");
  drawing.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#${name}`);
  drawing.append(use);
  return drawing;
}

function find(id) {
  return document.getElementById(id);
}

function counted(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

function shortId(hex) {
  return cidText(hex).slice(-6);
}

// -- from records to what is told of them

// Folds the records that passed into posts with their versions, a profile, and counts. Deletes and edits act on
// what the same account wrote; the newest by (time, id) is shown (docs/protocol.md, 4).
class Account {
  constructor({ account, state, shown, blobs }) {
    this.id = account;
    this.state = state;
    this.blobs = blobs;
    this.urls = new Map();
    this.records = new Map(shown.map((record) => [record.entry.id, { ...record, said: bodyOf(record) }]));
    this.deleted = new Set(this.kindOf("delete").map((record) => record.said.of));
    this.edits = new Map();
    for (const record of this.kindOf("edit").sort(byTime)) {
      const { of } = record.said;
      if (!this.deleted.has(record.entry.id)) this.edits.set(of, [...(this.edits.get(of) ?? []), record]);
    }
    this.profile = this.kindOf("profile").filter((record) => !this.isDeleted(record)).sort(byTime).at(-1)?.said ?? null;
    this.name = cleanName(this.profile?.name ?? "");
    const posts = [...this.records.values()].filter((record) => ["post", "repost"].includes(record.entry.kind) && !this.isDeleted(record));
    this.posts = posts.sort(byTime).reverse().map((record) => this.postOf(record));
    this.byId = new Map(this.posts.map((post) => [post.id, post]));
    this.follows = new Set(this.kindOf("follow").filter((record) => !this.isDeleted(record)).map((record) => record.said.who));
    this.reactions = this.kindOf("react").filter((record) => !this.isDeleted(record)).length;
  }

  kindOf(kind) {
    return [...this.records.values()].filter((record) => record.said?.kind === kind);
  }

  isDeleted(record) {
    return this.deleted.has(record.entry.id);
  }

  postOf(record) {
    const { entry, said } = record;
    const edits = said?.kind === "post" ? this.edits.get(entry.id) ?? [] : [];
    const versions = said?.kind === "post" ? [{ time: entry.time, said }, ...edits.map((edit) => ({
      time: edit.entry.time,
      said: { ...edit.said.version, reply: said.reply, quote: said.quote },
    }))] : [];
    const now = versions.at(-1)?.said ?? null;
    const shelf = entry.kind === "repost" ? "repost" : said?.reply ? "replies" : now?.title != null ? "articles" : "posts";
    return { id: entry.id, entry, record, said, now, versions, shelf, standing: record.standing, time: entry.time, folded: null };
  }

  // What search looks through: folded once, when it is first asked for.
  foldedOf(post) {
    const { now } = post;
    post.folded ??= now ? fold_(`${now.title ?? ""}\n${now.text}\n${now.tags.map((tag) => `#${tag}`).join(" ")}\n${now.warning ?? ""}`) : "";
    return post.folded;
  }

  onShelf(shelf, words) {
    const wanted = fold_(words).split(/\s+/).filter(Boolean);
    return this.posts.filter((post) => {
      const isHere = shelf === "all" || (shelf === "pictures" ? post.now?.media.length : post.shelf === shelf);
      return isHere && (!wanted.length || wanted.every((word) => this.foldedOf(post).includes(word)));
    });
  }

  // Where the browser finds a picture of the file, by its id; null if it is not here or no picture.
  pictureOf(cid) {
    if (this.urls.has(cid)) return this.urls.get(cid);
    const parts = this.blobs.get(cid);
    const beginning = parts ? hexOf(parts[0].subarray(0, 12)) : "";
    const type = MAX_IMAGE_TYPES.find(([, mark]) => new RegExp(`^${mark}`).test(beginning))?.[0];
    const url = type ? URL.createObjectURL(new Blob(parts, { type })) : null;
    this.urls.set(cid, url);
    return url;
  }
}

function fold_(said) {
  return said.normalize("NFKC").toLowerCase();
}

function byTime(one, other) {
  const [a, b] = [one.entry, other.entry];
  if (a.time !== b.time) return a.time < b.time ? -1 : 1;
  if (a.key === b.key && a.seq !== b.seq) return a.seq < b.seq ? -1 : 1;
  return byBytes(a.id, b.id);
}

function bodyOf(record) {
  if (record.body === null) return null;
  try {
    return parseBody(record.entry.kind, decodeBody(record.body));
  } catch (problem) {
    if (problem instanceof Malformed) return null;
    throw problem;
  }
}

// -- the verdict

function showVerdict(report) {
  const box = find("verdict");
  const said = find("said");
  box.classList.add(report.ok ? "good" : "bad");
  if (report.ok) {
    said.replaceChildren(
      make("b", {}, `Checked by this file itself: ${report.checked.toLocaleString("en")} of ${counted(report.records, "record")}`),
      `, identity as of ${dayText(report.asOf)}, account `,
      make("strong", { class: "words" }, report.words.join(" ")),
      ".",
    );
    return;
  }
  said.replaceChildren(
    make("b", {}, "This file is not what was signed."),
    ` ${report.checked.toLocaleString("en")} of ${counted(report.records, "record")} passed the check; ${counted(report.problemCount, "thing is", "things are")} wrong. `,
    report.account ? "Only what passed is shown." : "Nothing is shown.",
  );
  const list = report.problems.map((problem) => make("li", {},
    make("b", {}, problem.record === null ? "The file" : `Record ${problem.record}`), `: ${problem.text} `,
    make("span", { class: "faint" }, `[${problem.check}]`),
    problem.id && make("code", { class: "id" }, problem.id)));
  if (report.problemCount > list.length) list.push(make("li", {}, `and ${(report.problemCount - list.length).toLocaleString("en")} more`));
  find("problems").replaceChildren(make("ul", { class: "problems", "aria-label": "What is wrong" }, ...list));
}

function showProgress(what, done, all) {
  const bar = find("progress");
  bar.hidden = false;
  bar.max = all || 1;
  bar.value = done;
}

// -- the account

function portraitOf(account, size = "") {
  const picture = account.profile?.avatar ? account.pictureOf(account.profile.avatar) : null;
  const source = picture ?? drawn(drawSigil(account.id));
  return make("span", { class: `portrait ${size}` }, make("img", { src: source, alt: "", width: 46, height: 46, decoding: "async" }));
}

function drawn(document_) {
  return `data:image/svg+xml,${encodeURIComponent(document_)}`;
}

function nameOf(account) {
  return account.name ? make("bdi", {}, account.name) : make("bdi", {}, "someone ", make("span", { class: "id" }, `…${shortId(account.id)}`));
}

// What leads elsewhere than it looks like is neither shown nor followed: nothing invisible, nothing that turns text around.
function cleanAddress(said) {
  return said.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Z}]/gu, "").replace(MARKS, "$1");
}

function showAccount(account, report) {
  const { profile } = account;
  const banner = profile?.banner ? account.pictureOf(profile.banner) : null;
  const written = account.posts.filter((post) => post.shelf !== "repost").length;
  const carried = account.posts.length - written;
  const facts = [
    [written, "post"], [carried, "carried post"], [account.follows.size, "followed account"], [account.reactions, "reaction"],
  ].filter(([number]) => number);
  const links = (profile?.links ?? []).map(cleanAddress).filter(isWebAddress);
  find("account").replaceChildren(
    make("div", { class: "banner" }, make("img", { src: banner ?? drawn(drawBanner(account.id)), alt: "", width: 800, height: 200 })),
    make("div", { class: "prof" }, portraitOf(account, "lg")),
    make("div", { class: "pname" },
      make("h1", {}, nameOf(account)),
      make("p", { class: "ids muted" }, "The name is what this account calls itself. Its words and its id say who it is."),
      profile?.bio && make("p", { class: "bio", dir: "auto" }, cleanText(profile.bio)),
      links.length > 0 && make("p", { class: "facts" }, ...links.map((url) => make("a", { href: url, rel: `me ${LINK_REL}`, target: "_blank" }, make("bdi", {}, url)))),
      make("p", { class: "facts" }, ...facts.map(([number, what]) => make("span", {}, make("b", {}, number.toLocaleString("en")), ` ${counted(number, what).split(" ").slice(1).join(" ")}`))),
      report.alarms.length > 0 && make("p", { class: "warnline" }, icon("triangle-alert"), make("span", {}, `This account raises an alarm: ${report.alarms.join(", ")}.`)),
    ),
  );
}

function showRail(account, report) {
  const rows = [
    ["Records that passed", `${report.checked.toLocaleString("en")} of ${report.records.toLocaleString("en")}`],
    ["Operations of the account", String(report.operations)],
    ["Pictures", String(report.blobs)],
    ["Newest signature", fullTime(report.asOf)],
    ["Generation", String(report.generation)],
    report.network === "main" ? null : ["Network", report.network],
    report.holes ? ["Earlier entries not in this file", report.holes.toLocaleString("en")] : null,
    ["File made", `${fullTime(report.made)} (by the word of whoever made it)`],
    ["Signatures checked by", report.verifier],
  ].filter(Boolean);
  const devices = [...(account.state?.names ?? [])].map(([key, name]) => make("li", {},
    make("bdi", {}, cleanName(name) || "a device"), isOpen(account.state.cuts.get(key)) ? "" : ", cut off", " ", make("code", { class: "id" }, `k${base32Of(bytesOf(key))}`)));
  find("rail").replaceChildren(
    make("section", { class: "sec" }, make("h2", {}, "Who this is"),
      make("p", {}, make("strong", { class: "words" }, report.words.join(" "))),
      make("p", {}, "Compare these words with the person’s own, by voice or on paper."),
      make("code", { class: "account-id id" }, report.account)),
    make("section", { class: "sec" }, make("h2", {}, "What was checked"),
      make("dl", { class: "facts-list" }, ...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])),
      devices.length > 0 && make("details", {}, make("summary", {}, counted(devices.length, "device")), make("ul", { class: "devices" }, ...devices))),
    make("section", { class: "sec" }, make("h2", {}, "How far to trust this"),
      make("p", {}, "A page that checks itself is as honest as whoever gave you the page. An independent check takes one line, on a machine you trust:"),
      make("p", {}, make("code", {}, "unhush verify FILE")),
      make("p", {}, "And this carries the account on, for everybody who asks:"),
      make("p", {}, make("code", {}, "unhush import lifeboat FILE")),
      make("p", {}, "Nobody can see in a file what its maker left out at the end: the newest records. Whoever knows the account from elsewhere can compare.")),
  );
}

// -- posts

function lengthOf(number) {
  return number !== null && number <= 16_383 ? String(number) : null;
}

function langOf(lang) {
  return lang && lang.length <= 35 && /^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$/.test(lang) ? lang : null;
}

function mediaOf_(account, media) {
  if (!media.length) return null;
  return make("div", { class: media.length > 1 ? "media several" : "media" }, ...media.map((item) => {
    const alt = cleanText(item.alt);
    const url = item.mime.startsWith("image/") ? account.pictureOf(item.cid) : null;
    if (!url) return make("p", { class: "absent", dir: "auto" }, alt && make("span", {}, alt), make("small", {}, "A picture or file that is not in this file."));
    return make("img", {
      src: url, alt: alt || "A picture; nobody says what it shows",
      width: lengthOf(item.width), height: lengthOf(item.height), loading: "lazy", decoding: "async",
    });
  }));
}

function wordsOf_(account, said, isWhole, id) {
  const [head, isCut] = isWhole ? [said.text, false] : excerptOf(said.text);
  const lang = langOf(said.lang);
  return [
    said.title !== null && cleanName(said.title) && (isWhole
      ? make("h2", { class: "title", dir: "auto", lang }, cleanName(said.title))
      : make("a", { class: "title", href: `#/post/${cidText(id)}`, dir: "auto", lang }, cleanName(said.title))),
    make("div", { class: "body", dir: "auto", lang }, render(head)),
    mediaOf_(account, said.media),
    isCut && make("a", { class: "more", href: `#/post/${cidText(id)}` }, "Read on"),
  ];
}

function insideOf(account, post, isWhole) {
  const { now, record } = post;
  if (!now) {
    const why = { deleted: "Its words were taken back.", withheld: "Whoever made this file withholds its words.", malformed: "What was signed here is no post.", unknown: "Its words are not in this file." };
    return [make("p", { class: "gone" }, record.body === null ? why[record.reason] : "A post that breaks the rules of posts; its words are not shown.")];
  }
  const words = [...wordsOf_(account, now, isWhole, post.id), now.quote && quoteOf(account, now.quote)];
  if (now.warning === null) return words;
  const fold = make("details", { class: "cw" },
    make("summary", {}, icon("triangle-alert"), make("span", {}, make("bdi", {}, cleanName(now.warning) || "A warning")),
      make("span", { class: "btn small shut" }, "Show"), make("span", { class: "btn small open" }, "Hide")),
    make("div", { class: "inside" }, ...words.filter(Boolean)));
  return [fold];
}

function quoteOf(account, { entry, account: by }) {
  const quoted = account.byId.get(entry);
  if (!quoted?.now) return make("div", { class: "quoted" }, make("p", { class: "gone" }, by === account.id ? "It quotes a post that is not in this file." : "It quotes somebody else’s post."), make("code", { class: "id" }, cidText(entry)));
  return make("div", { class: "quoted" }, make("p", { class: "context" }, make("a", { href: `#/post/${cidText(entry)}` }, nameOf(account))),
    quoted.now.warning !== null ? make("p", { class: "gone" }, `Folded: ${cleanName(quoted.now.warning)}`) : make("div", { class: "body", dir: "auto" }, render(excerptOf(quoted.now.text)[0])));
}

function contextOf(account, post) {
  const reply = post.now?.reply ?? post.said?.reply;
  if (!reply) return null;
  const parent = account.byId.get(reply.parent);
  const said = parent ? [make("a", { href: `#/post/${cidText(reply.parent)}` }, "in reply to ", nameOf(account))]
    : ["in reply to ", reply.parentAccount === account.id ? "a post that is not in this file" : make("span", {}, "somebody else’s post, ", make("code", { class: "id" }, `…${shortId(reply.parent)}`))];
  return make("p", { class: "context" }, icon("corner-up-left"), make("span", {}, ...said));
}

function historyOf(account, post) {
  if (post.versions.length < 2) return null;
  const inside = make("ol", { class: "versions" });
  const fold = make("details", { class: "history" },
    make("summary", {}, "Edited ", make("time", { datetime: machineTime(post.versions.at(-1).time) }, shortTime(post.versions.at(-1).time)), ` · ${counted(post.versions.length, "version")}`), inside);
  fold.addEventListener("toggle", () => {
    if (inside.children.length) return;
    inside.append(...post.versions.map((version, at) => make("li", {},
      make("p", { class: "context" }, `${at ? "Changed" : "As it was written"}, ${fullTime(version.time)}`),
      ...wordsOf_(account, { ...version.said }, true, post.id).filter(Boolean))));
  });
  return fold;
}

function proofOf(post) {
  const { entry } = post;
  return make("details", { class: "proof" }, make("summary", {}, "Proof"),
    make("dl", { class: "facts-list" },
      make("dt", {}, "Record"), make("dd", {}, `${post.record.number} of this file, entry ${entry.seq} of its device’s log`),
      make("dt", {}, "Id"), make("dd", { class: "id" }, cidText(entry.id)),
      make("dt", {}, "Signed by device"), make("dd", { class: "id" }, `k${base32Of(bytesOf(entry.key))}`),
      make("dt", {}, "Signature"), make("dd", { class: "id" }, hexOf(entry.signature))));
}

function postElement(account, post, isWhole = false, isFocus = false) {
  const at = `n-${post.record.number}`;
  const { now } = post;
  const isRepost = post.entry.kind === "repost";
  const tags = (now?.tags ?? []).map(cleanName).filter(Boolean);
  return make("article", { class: `post${now?.title != null ? " titled" : ""}${isFocus ? " focus" : ""}`, id: `p-${post.record.number}`, tabindex: "0", "aria-labelledby": at },
    portraitOf(account),
    make("div", {},
      make("header", {}, make("span", { class: "name", id: at }, nameOf(account)),
        make("time", { datetime: machineTime(post.time), title: fullTime(post.time) }, make("a", { href: `#/post/${cidText(post.id)}` }, shortTime(post.time)))),
      contextOf(account, post),
      post.standing === "contested" && make("p", { class: "warnline" }, icon("triangle-alert"), make("span", {}, "Contested: a copy of this device’s key wrote another record in this place.")),
      ...(isRepost ? [make("p", { class: "context" }, icon("repeat-2"), make("span", {}, "carried somebody else’s post ", make("code", { class: "id" }, post.said ? `…${shortId(post.said.of)}` : "")))] : insideOf(account, post, isWhole)),
      tags.length > 0 && make("p", { class: "tags" }, ...tags.map((tag) => make("bdi", {}, `#${tag}`))),
      now?.imported && make("p", { class: "context" }, make("span", {}, `Said to be published before at ${cleanName(now.imported.source)}`)),
      historyOf(account, post),
      isFocus && proofOf(post)));
}

// -- pages

class Pages {
  constructor(account) {
    this.account = account;
    this.words = "";
    this.shelf = "all";
    addEventListener("hashchange", () => this.go(true));
    addEventListener("beforeprint", () => this.print());
    addEventListener("afterprint", () => this.go(false));
    this.showShelves();
    this.go(false);
  }

  go(byPerson) {
    const [, place, rest = ""] = location.hash.split("/");
    const post = place === "post" ? this.postOf(rest) : null;
    if (post) this.showPost(post);
    else {
      this.shelf = SHELVES.some(([id]) => id === place) ? place : "all";
      this.showList();
    }
    for (const link of document.querySelectorAll("#shelves a")) {
      if (!post && link.hash === `#/${this.shelf}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (byPerson) {
      scrollTo(0, post ? find("page").getBoundingClientRect().top + scrollY - 70 : 0);
      find("page").focus({ preventScroll: true });
    }
  }

  postOf(id) {
    return this.account.posts.find((post) => cidText(post.id) === id) ?? null;
  }

  showShelves() {
    const shown = SHELVES.filter(([id]) => id === "all" || this.account.onShelf(id, "").length);
    const links = shown.map(([id, name, picture]) => make("a", { class: "item", href: `#/${id}` }, icon(picture), make("span", { class: "label" }, name)));
    find("shelves").replaceChildren(...links);
    const narrow = make("nav", { class: "shelves narrow-only", "aria-label": "What to show, in short" },
      ...shown.map(([id, name]) => make("a", { href: `#/${id}` }, name)));
    const search = make("form", { class: "field search", role: "search", on: { submit: (event) => event.preventDefault() } },
      make("label", { for: "words" }, "Search in this file"),
      make("input", { id: "words", type: "search", autocomplete: "off", maxlength: 200, on: { input: (event) => this.search(event.target.value) } }),
      make("p", { class: "hint", id: "found", role: "status" }));
    find("page").replaceChildren(narrow, search, make("div", { id: "list", tabindex: "-1" }));
    find("page").tabIndex = -1;
  }

  search(words) {
    this.words = words;
    if (location.hash.startsWith("#/post/")) history.replaceState(null, "", `#/${this.shelf}`);
    this.showList();
  }

  showList(most = PAGE_POSTS) {
    const posts = this.account.onShelf(this.shelf, this.words);
    const isSearch = Boolean(this.words.trim());
    find("found").textContent = isSearch ? `${counted(posts.length, "post")} found` : "";
    const box = make("div", { class: "posts" });
    const older = make("p", { class: "older" });
    find("list").replaceChildren(make("h2", { class: "vh" }, SHELVES.find(([id]) => id === this.shelf)[1]), box, older);
    this.heading = null;
    this.more(posts, 0, box, older, most);
  }

  // Paper has no button for more: everything, whole and unfolded.
  print() {
    if (!document.querySelector(".post.focus")) this.showList(Infinity);
    for (const fold of document.querySelectorAll("details.cw")) fold.open = true;
  }

  more(posts, from, box, older, most = PAGE_POSTS) {
    const some = posts.slice(from, from + most);
    for (const post of some) {
      const heading = monthText(post.time);
      if (heading !== this.heading) box.append(make("h3", { class: "dayrule" }, heading));
      this.heading = heading;
      box.append(postElement(this.account, post, most === Infinity));
    }
    const left = posts.length - from - some.length;
    if (left > 0) {
      const button = make("button", { class: "btn", type: "button", on: { click: () => {
        this.more(posts, from + PAGE_POSTS, box, older);
        find(`p-${posts[from + PAGE_POSTS].record.number}`).focus({ preventScroll: true });
      } } }, `Further back (${left.toLocaleString("en")})`);
      older.replaceChildren(button);
      return;
    }
    older.replaceWith(make("div", { class: "fin" }, make("b", {}, posts.length ? "That’s everything" : "Nothing here"),
      posts.length ? "Every post of this kind that is in this file." : this.words.trim() ? "No post in this file has these words." : "This file holds no posts."));
  }

  showPost(post) {
    find("found").textContent = "";
    find("list").replaceChildren(
      make("p", {}, make("a", { href: `#/${this.shelf}` }, "Back to the list")),
      make("div", { class: "thread" }, ...this.parentsOf(post).map((parent) => postElement(this.account, parent)), postElement(this.account, post, true, true),
        ...this.answersTo(post).map((answer) => postElement(this.account, answer))));
  }

  parentsOf(post) {
    const parents = [];
    let at = post;
    while (parents.length < 20 && (at = this.account.byId.get(at.said?.reply?.parent)) && !parents.includes(at)) parents.unshift(at);
    return parents;
  }

  answersTo(post) {
    return this.account.posts.filter((other) => other.said?.reply?.parent === post.id).reverse().slice(0, PAGE_POSTS);
  }
}
