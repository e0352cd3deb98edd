"use strict";
/* Which view is open, its colours, and how far it was scrolled when the reader left it. */
(() => {
  const { h, run, load } = featurediff;

  const VIEWS = [["overview", "Overview"], ["browser", "Browse"], ["compare", "Compare"], ["failed", "Failed pictures"], ["columns", "Columns"]];
  const THEMES = ["", "light", "dark"];
  const heights = new Map(); // address -> how far it was scrolled
  let open = { close: () => {} };
  let at = "";
  let turn = 0;

  async function show() {
    const mine = (turn += 1);
    const asked = featurediff.address();
    heights.set(at, scrollY);
    const content = document.getElementById("content");
    const make = featurediff.views[asked.view] || featurediff.views.overview;
    let made;
    try {
      made = await make({ ...asked, keep: () => { at = location.hash; } });
    } catch (error) {
      made = { element: h("div", { class: "view" }, h("h1", {}, "This view cannot be shown"), h("p", {}, error.message), h("p", {}, h("a", { href: "#/browser" }, "Browse all channels"))), title: "Error" };
      console.warn(error);
    }
    if (mine !== turn) return;
    if (open.close) open.close();
    const first = at === "";
    at = location.hash || "#/overview";
    open = made;
    content.replaceChildren(made.element);
    document.title = `${made.title} · featurediff`;
    document.querySelectorAll("#views a").forEach((one) => {
      const here = one.dataset.view === (asked.view in featurediff.views ? asked.view : "overview") || (asked.view === "channel" && one.dataset.view === "browser");
      if (here) one.setAttribute("aria-current", "page");
      else one.removeAttribute("aria-current");
    });
    if (made.ready) await made.ready();
    if (mine !== turn) return;
    if (!first) content.focus({ preventScroll: true });
    scrollTo(0, heights.get(at) || 0);
    document.body.dataset.view = asked.view;
    document.body.dataset.shown = at;
  }

  function theme() {
    const button = document.getElementById("theme");
    const root = document.documentElement;
    const tell = () => {
      const now = root.dataset.theme || "";
      const words = { "": ["◐", "follow the system"], light: ["☀", "light"], dark: ["☾", "dark"] }[now];
      button.textContent = words[0];
      button.setAttribute("aria-label", `Colours: ${words[1]}`);
      button.title = `Colours: ${words[1]}`;
      document.dispatchEvent(new Event("themechange"));
    };
    button.addEventListener("click", () => {
      root.dataset.theme = THEMES[(THEMES.indexOf(root.dataset.theme || "") + 1) % THEMES.length];
      try {
        localStorage.setItem("featurediff-theme", root.dataset.theme);
      } catch {
        // no storage: the choice lasts as long as the page
      }
      tell();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);
    tell();
  }

  async function start() {
    theme();
    document.getElementById("skip").addEventListener("click", (event) => {
      event.preventDefault(); // the address is the view's
      document.getElementById("content").focus();
    });
    try {
      featurediff.prepare(await load("run"));
    } catch (error) {
      document.getElementById("content").replaceChildren(h("p", { class: "wide" }, error.message));
      return;
    }
    const shown = VIEWS.filter(([name]) => name !== "compare" || run.tuned.length);
    document.getElementById("views").append(...shown.map(([name, words]) => h("a", { href: `#/${name}`, "data-view": name }, words)));
    history.scrollRestoration = "manual";
    addEventListener("hashchange", show);
    await show();
  }

  start();
})();
