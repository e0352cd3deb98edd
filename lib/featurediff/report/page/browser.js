"use strict";
/* All channels as cards, with filters, order and search. The address holds all of it. */
(() => {
  const { h, run, grid, number, count, label, link, column, titled } = featurediff;

  const LEVEL = 0.05; // false discovery rate
  const DEFAULTS = { network: "", layer: "", pictures: "", change: "", sort: "rank", order: "", q: "" };
  const CHANGES = [
    ["", "any"],
    ["significant", "either kind (q < 5 %)"],
    ["visual", "pictures changed (q_visual < 5 %)"],
    ["excess", "changed beyond drift (q_excess < 5 %)"],
    ["none", "neither kind"],
  ];
  const DESCENDS = /^(excess|visual_change|activation|mean_shift|weight_change|failed|gram_|mismatched)/;

  const descends = (state) => (state.order ? state.order === "descending" : DESCENDS.test(state.sort));

  /* `layer4.2:1276`, `layer4`, `:12`, `1276`, `dogs`; a channel must match every word. */
  function matcher(text) {
    const words = text.trim().split(/\s+/).filter(Boolean).map((word) => {
      const exact = /^([^:]*):(\d+)$/.exec(word);
      if (exact) return (network, layer, channel) => channel === Number(exact[2]) && (!exact[1] || layer === exact[1]);
      if (/^\d+$/.test(word)) return (network, layer, channel) => channel === Number(word);
      const part = word.replace(/:$/, "").toLowerCase();
      return (network, layer) => layer.toLowerCase().includes(part) || network.toLowerCase().includes(part);
    });
    return (network, place) => words.every((one) => one(network, run.layers[run.layerOf[place]].name, run.channelOf[place]));
  }

  async function columnsOf(networks, name) {
    return Object.fromEntries(await Promise.all(networks.map(async (network) => [network, (await column(network, name)) || []])));
  }

  /* [network, place] of every channel that passes the filters, sorted, and the values that they are sorted by. */
  async function choose(state) {
    const networks = state.network ? [state.network] : run.tuned.length ? run.tuned : run.names;
    const [values, visual, excess, failed, failedInBase] = await Promise.all([
      columnsOf(networks, state.sort), columnsOf(networks, "q_visual"), columnsOf(networks, "q_excess"),
      columnsOf(networks, "failed"), columnsOf([run.base], "failed"),
    ]);
    const below = (columns, network, place) => typeof columns[network][place] === "number" && columns[network][place] < LEVEL;
    const hasFailed = (network, place) => failed[network][place] > 0 || failedInBase[run.base][place] > 0;
    const changes = {
      "": () => true,
      visual: (n, p) => below(visual, n, p),
      excess: (n, p) => below(excess, n, p),
      significant: (n, p) => below(visual, n, p) || below(excess, n, p),
      none: (n, p) => !below(visual, n, p) && !below(excess, n, p),
    };
    const change = changes[state.change] || changes[""];
    const asked = matcher(state.q);
    const layer = run.layers.findIndex((one) => one.name === state.layer);
    const chosen = [];
    for (const network of networks) {
      for (let place = 0; place < run.size; place += 1) {
        if (layer >= 0 && run.layerOf[place] !== layer) continue;
        if (state.pictures === "usable" && hasFailed(network, place)) continue;
        if (state.pictures === "failed" && !hasFailed(network, place)) continue;
        if (change(network, place) && asked(network, place)) chosen.push([network, place]);
      }
    }
    const value = ([network, place]) => values[network][place];
    if (state.sort !== "channel") chosen.sort(ordered(value, descends(state)));
    else if (descends(state)) chosen.reverse();
    return { chosen, value, significant: (n, p) => [below(visual, n, p), below(excess, n, p)], hasFailed };
  }

  /* Channels without a value come last in either order; equal values keep the page's order. */
  function ordered(value, descending) {
    return (first, second) => {
      const a = value(first);
      const b = value(second);
      const none = (one) => one === null || one === undefined;
      if (none(a) || none(b)) return none(a) - none(b);
      return (a < b ? -1 : a > b ? 1 : 0) * (descending ? -1 : 1);
    };
  }

  function select(name, labelled, options, value, changed) {
    const box = h("select", { id: `choose-${name}`, onchange: (event) => changed(name, event.target.value) },
      options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
    return h("label", { class: "field" }, h("span", {}, labelled), box);
  }

  function sortable() {
    const names = [...new Set((run.tuned.length ? run.tuned : run.names).flatMap((network) => run.data.columns[network]))];
    return [["channel", "channel"], ...names.filter((name) => !/reason$|^class_/.test(name)).map((name) => [name, titled(name)])];
  }

  function card([network, place], found, state) {
    const [visual, excess] = found.significant(network, place);
    const value = state.sort === "channel" ? "" : `${state.sort} ${number(found.value([network, place]))}`;
    const marks = [
      visual ? h("span", { class: "mark", title: "The pictures changed: q_visual < 5 %." }, "changed") : null,
      excess ? h("span", { class: "mark strong", title: "They changed more than the layer drifted: q_excess < 5 %." }, "beyond drift") : null,
      found.hasFailed(network, place) ? h("span", { class: "mark failed", title: "A picture of this channel failed." }, "failed") : null,
    ];
    return h("a", { class: "card", href: link("channel", label(place), { network: network === run.base ? "" : network }) },
      featurediff.pair(network, place, 72),
      h("span", { class: "line" }, h("b", {}, label(place)), h("span", {}, network)),
      h("span", { class: "line soft" }, h("span", {}, value)),
      h("span", { class: "marks" }, marks));
  }

  featurediff.views.browser = async ({ query, keep }) => {
    const state = { ...DEFAULTS, ...Object.fromEntries([...query].filter(([key]) => key in DEFAULTS)) };
    if (!run.names.includes(state.network)) state.network = "";
    if (!sortable().some(([name]) => name === state.sort)) state.sort = "channel";
    if (!run.tuned.length && state.sort === "rank") state.sort = "channel";
    let found = null;
    const cards = grid({ make: (index) => card(found.chosen[index], found, state), width: 172, height: 146, labelled: "Channels" });
    const told = h("p", { class: "note", id: "count" });
    const empty = h("p", {});
    let turn = 0;

    async function show() {
      const mine = (turn += 1);
      const result = await choose(state);
      if (mine !== turn) return;
      found = result;
      const given = Object.fromEntries(Object.entries(state).filter(([key, value]) => value !== DEFAULTS[key]));
      featurediff.replace("browser", "", given);
      keep();
      const all = (state.network || !run.tuned.length ? 1 : run.tuned.length) * run.size;
      told.textContent = `${count(found.chosen.length)} of ${count(all)} channels`;
      featurediff.say(told.textContent);
      empty.replaceChildren(found.chosen.length ? "" : "No channel matches. ", found.chosen.length ? "" : h("a", { href: "#/browser" }, "Show all channels"));
      turnButton.textContent = descends(state) ? "▼ descending" : "▲ ascending";
      turnButton.setAttribute("aria-label", `Order: ${descends(state) ? "descending" : "ascending"}`);
      cards.show(found.chosen.length);
    }

    function changed(name, value) {
      state[name] = value;
      if (name === "sort") state.order = "";
      show();
    }

    const search = h("input", {
      type: "search", id: "search", value: state.q, placeholder: run.size ? label(Math.min(3, run.size - 1)) : "", autocomplete: "off", spellcheck: "false",
      oninput: (event) => changed("q", event.target.value),
      onkeydown: (event) => {
        if (event.key === "Enter" && found && found.chosen.length) {
          const [network, place] = found.chosen[0];
          location.hash = link("channel", label(place), { network });
        }
      },
    });
    const turnButton = h("button", { type: "button", class: "quiet", id: "order", onclick: () => { state.order = descends(state) ? "ascending" : "descending"; show(); } });
    const all = run.tuned.length > 1 ? [["", "all fine-tuned"]] : run.tuned.length ? [["", run.tuned[0]]] : [];
    const controls = h("form", { class: "controls", role: "search", onsubmit: (event) => event.preventDefault() },
      h("label", { class: "field" }, h("span", {}, "Search"), search),
      select("network", "Network", [...all, ...run.names.map((name) => [name, name]).filter(([name]) => run.tuned.length !== 1 || name !== run.tuned[0])], state.network, changed),
      select("layer", "Layer", [["", "all layers"], ...run.layers.map(({ name }) => [name, name])], state.layer, changed),
      select("pictures", "Pictures", [["", "all"], ["usable", "usable"], ["failed", "failed"]], state.pictures, changed),
      select("change", "Change", CHANGES, state.change, changed),
      select("sort", "Sort by", sortable(), state.sort, changed),
      turnButton,
      featurediff.csvButton("channels.csv", () => [...new Set(["network", "layer", "channel", state.sort])], () => found.chosen.map(([network, place]) =>
        ({ network, layer: run.layers[run.layerOf[place]].name, channel: run.channelOf[place], [state.sort]: found.value([network, place]) }))));
    const body = h("div", { class: "view" }, h("h1", {}, "Browse channels"),
      h("p", { class: "note" }, run.tuned.length ? `${featurediff.pairNote()} ` : "", "The arrow keys move from card to card."),
      controls, told, empty, cards.element);
    return { element: body, title: "Browse channels", ready: show, close: cards.close };
  };

  Object.assign(featurediff, { select, LEVEL });
})();
