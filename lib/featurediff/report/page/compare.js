"use strict";
/* Two networks side by side: scatter plots, the channels that changed most in either, and a map of all pictures. */
(() => {
  const { h, run, number, label, link, column, figure, load, scale, unit } = featurediff;

  const VISUAL = ["visual_change", "excess", "paired_similarity", "first_similarity", "cosine"];
  const FUNCTION = ["correlation", "weight_change", "mean_shift", "scale_ratio", "tuned_likes_base_picture", "base_likes_tuned_picture", "top_overlap"];

  const numeric = () => [...new Set(run.tuned.flatMap((network) => run.data.columns[network]))].filter((name) => !/reason$|^failed_|^frozen$|^filters$/.test(name));

  async function points(network, names) {
    const columns = await Promise.all(names.map((name) => column(network, name)));
    const rows = [];
    for (let place = 0; place < run.size; place += 1) {
      const values = columns.map((one) => (one ? one[place] : null));
      if (values.every((value) => typeof value === "number")) rows.push({ channel: label(place), network, layer: run.layers[run.layerOf[place]].name, ...Object.fromEntries(names.map((name, at) => [name, values[at]])) });
    }
    return rows;
  }

  /* Rank correlation, for the text that stands beside a scatter plot. */
  function spearman(rows, x, y) {
    if (rows.length < 3) return null;
    const ranks = (name) => {
      const order = rows.map((row, at) => [row[name], at]).sort((a, b) => a[0] - b[0]);
      const found = [];
      for (let from = 0; from < order.length;) {
        let to = from;
        while (to < order.length && order[to][0] === order[from][0]) to += 1;
        for (let at = from; at < to; at += 1) found[order[at][1]] = (from + to - 1) / 2;
        from = to;
      }
      return found;
    };
    const [a, b] = [ranks(x), ranks(y)];
    const mean = (rows.length - 1) / 2;
    const sum = (f) => a.reduce((total, _, at) => total + f(a[at] - mean, b[at] - mean), 0);
    const spread = Math.sqrt(sum((p) => p * p) * sum((_, q) => q * q));
    return spread ? sum((p, q) => p * q) / spread : null;
  }

  function scatter({ title, rows, x, y, names, file, height = 300 }) {
    const axis = (name) => ({ field: name, type: "quantitative", title: `${names[name]}`, scale: { zero: false } });
    const rho = spearman(rows, x, y);
    const alt = rows.length ? `${names[y]} against ${names[x]} of ${rows.length} channels; rank correlation ${rho === null ? "not defined" : number(rho)}.` : "No channel has both numbers.";
    if (!rows.length) return h("figure", { class: "chart" }, h("figcaption", {}, h("b", {}, title)), h("p", { class: "note" }, alt));
    const layers = run.layers.map(({ name }) => name);
    return figure({
      title, note: `${rows.length} channels; rank correlation ${rho === null ? "not defined" : number(rho)}. Click a point to open its channel.`, alt, rows, columns: ["channel", "layer", x, y], file, height,
      spec: () => ({
        mark: { type: "point", filled: true, size: rows.length > 1500 ? 12 : 42, opacity: 0.7, cursor: "pointer" },
        encoding: {
          x: axis(x), y: axis(y), shape: { field: "layer", type: "nominal", scale: { domain: layers }, title: null },
          color: { field: "layer", type: "nominal", title: null, scale: { domain: layers, range: featurediff.palette() } },
          tooltip: [{ field: "channel" }, { field: x, format: ".4g" }, { field: y, format: ".4g" }],
        },
      }),
      link: (row) => (row.channel ? link("channel", row.channel, { network: row.network || "" }) : null),
    });
  }

  async function both(a, b, measure) {
    const [first, second] = await Promise.all([points(a, [measure]), points(b, [measure])]);
    const other = new Map(second.map((row) => [row.channel, row[measure]]));
    return first.filter((row) => other.has(row.channel)).map((row) => ({ channel: row.channel, layer: row.layer, [a]: row[measure], [b === a ? `${b} ` : b]: other.get(row.channel) }));
  }

  /* The pictures in the base, a and b, of the channels with the best rank in either. */
  async function most(a, b, layer, many = 12) {
    const ranks = await Promise.all([a, b].map((network) => column(network, "rank")));
    const similar = await Promise.all([a, b].map((network) => column(network, "paired_similarity")));
    const best = (place) => Math.min(...ranks.map((of) => (of[place] === null ? Infinity : of[place])));
    const worth = (place) => (ranks.some((of) => of[place] !== null) ? best(place) : Infinity);
    const places = [...Array(run.size).keys()].filter((place) => worth(place) < Infinity && (!layer || run.layers[run.layerOf[place]].name === layer)).sort((p, q) => worth(p) - worth(q)).slice(0, many);
    if (!places.length) return h("p", { class: "note" }, "No channel has a rank in either network.");
    return h("ul", { class: "cards" }, places.map((place) => h("li", {}, h("a", { class: "card", href: link("channel", label(place), { network: a }) },
      h("span", { class: "pair" }, [run.base, a, ...(b === a ? [] : [b])].map((network) => featurediff.tile(network, place, 84, false))),
      h("span", { class: "line" }, h("b", {}, label(place))),
      [a, ...(b === a ? [] : [b])].map((network, at) => h("span", { class: "line soft" }, h("span", {}, `${network}: rank ${number(ranks[at][place])}`), h("span", {}, `similarity ${number(similar[at][place])}`)))))));
  }

  /* ---- the map: pictures where there is room for one, dots for the others ---- */

  async function pcaMap(layerName, network) {
    const layer = run.layers.find(({ name }) => name === layerName);
    const { explained, points: found } = await load(`pca_map/${layerName}`);
    const all = Object.values(found).flat().filter(Boolean);
    const [xs, ys] = [0, 1].map((axis) => all.map((point) => point[axis]));
    const range = (values) => [Math.min(...values), Math.max(...values) === Math.min(...values) ? Math.min(...values) + 1 : Math.max(...values)];
    const [xr, yr] = [range(xs), range(ys)];
    const size = 44;
    const field = h("div", { class: "pca-map", role: "group", "aria-label": `Pictures of ${layerName} in ${network} by their two principal components; the arrow keys move from picture to picture` });
    const lines = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const rows = found[network].map((point, at) => (point ? { channel: label(layer.first + at), PC1: point[0], PC2: point[1] } : null)).filter(Boolean);

    function draw() {
      if (!field.clientWidth) return;
      const [width, height] = [field.clientWidth - size, field.clientHeight - size];
      const at = ([x, y]) => [size / 2 + ((x - xr[0]) / (xr[1] - xr[0])) * width, size / 2 + (1 - (y - yr[0]) / (yr[1] - yr[0])) * height];
      const taken = new Set();
      field.replaceChildren(lines);
      lines.replaceChildren();
      const links = [];
      found[network].forEach((point, number_) => {
        if (!point) return;
        const [x, y] = at(point);
        const cell = `${Math.round(x / size)}:${Math.round(y / size)}`;
        const place = layer.first + number_;
        if (taken.has(cell)) {
          const dot = document.createElementNS(lines.namespaceURI, "circle");
          Object.entries({ cx: x, cy: y, r: 2.5 }).forEach(([name, value]) => dot.setAttribute(name, value));
          lines.append(dot);
          return;
        }
        taken.add(cell);
        const from = found[run.base][number_];
        const anchor = h("a", { href: link("channel", label(place), { network: network === run.base ? "" : network }), tabindex: "-1", title: `${label(place)}: ${number(point[0])}, ${number(point[1])}`, style: { left: `${x - size / 2}px`, top: `${y - size / 2}px` } }, featurediff.tile(network, place, size));
        const trace = () => {
          lines.querySelectorAll("line").forEach((one) => one.remove());
          if (network === run.base || !from) return;
          const [fx, fy] = at(from);
          const line = document.createElementNS(lines.namespaceURI, "line");
          Object.entries({ x1: fx, y1: fy, x2: x, y2: y }).forEach(([name, value]) => line.setAttribute(name, value));
          lines.append(line);
        };
        anchor.addEventListener("mouseenter", trace);
        anchor.addEventListener("focus", trace);
        links.push([x, y, anchor]);
      });
      links.sort((p, q) => p[0] - q[0]).forEach(([, , anchor]) => field.append(anchor));
      if (links.length) links[0][2].tabIndex = 0;
    }

    field.addEventListener("keydown", (event) => {
      const moves = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
      if (!(event.key in moves)) return;
      const anchors = [...field.querySelectorAll("a")];
      const next = anchors[anchors.indexOf(document.activeElement) + moves[event.key]];
      if (!next) return;
      event.preventDefault();
      anchors.forEach((anchor) => { anchor.tabIndex = anchor === next ? 0 : -1; });
      next.focus();
    });
    new ResizeObserver(draw).observe(field);
    const share = explained.map((one) => `${(100 * one).toFixed(1)} %`);
    return h("figure", { class: "chart" }, h("figcaption", {}, h("b", {}, `Pictures of ${layerName} in ${network}`), h("span", { class: "note" }, `A picture's place is given by the first two principal components of the embeddings of all networks: PC1 (${share[0]} of the variance) to the right, PC2 (${share[1]}) upwards. Pictures that look alike lie close together. Point at a picture to see a line from its place in ${run.base}.`)),
      field, h("div", { class: "tools" }, featurediff.csvButton(`pca_map_${layerName}_${network}.csv`, () => ["channel", "PC1", "PC2"], () => rows)));
  }

  featurediff.views.compare = async ({ query, keep }) => {
    const fallback = { a: run.tuned[0], b: run.tuned[1] || run.tuned[0], layer: "", visual: null, functional: null, pca_layer: run.layers[run.layers.length - 1].name, pca_network: run.tuned[0] };
    const state = { ...fallback, ...Object.fromEntries([...query].filter(([key]) => key in fallback)) };
    for (const key of ["a", "b"]) if (!run.tuned.includes(state[key])) state[key] = fallback[key];
    if (!run.names.includes(state.pca_network)) state.pca_network = fallback.pca_network;
    const columns = numeric();
    const filled = async (names) => {
      for (const name of names.filter((one) => columns.includes(one))) if ((await points(state.a, [name])).length) return name;
      return names.find((one) => columns.includes(one)) || columns[0];
    };
    const start = { visual: await filled(VISUAL), functional: await filled(FUNCTION) };
    for (const key of ["visual", "functional"]) if (!columns.includes(state[key])) state[key] = start[key];
    const charts = h("div", { class: "two" });
    const agreement = h("div", {});
    const order = h("p", { class: "note" });
    const cards = h("div", {});
    const map = h("div", {});
    const inLayer = (rows) => rows.filter((row) => !state.layer || row.layer === state.layer);
    async function show() {
      const { a, b, visual, functional } = state;
      const names = { [visual]: `${visual}${unit(visual) ? ` (${unit(visual)})` : ""}`, [functional]: `${functional}${unit(functional) ? ` (${unit(functional)})` : ""}` };
      const pairs = await Promise.all([...new Set([a, b])].map(async (network) => [network, inLayer(await points(network, [...new Set([visual, functional])]))]));
      charts.replaceChildren(...pairs.map(([network, rows]) => scatter({ title: `${network}: visual against functional change`, rows, x: visual, y: functional, names, file: `${network}_${visual}_${functional}.csv` })));
      if (a !== b) {
        const rows = inLayer(await both(a, b, visual));
        agreement.replaceChildren(scatter({ title: `${visual} in ${a} and in ${b}`, rows, x: a, y: b, names: { [a]: `${a}: ${names[visual]}`, [b]: `${b}: ${names[visual]}` }, file: `${a}_${b}_${visual}.csv` }));
      } else agreement.replaceChildren();
      order.textContent = `From left to right: ${[...new Set([run.base, a, b])].join(", ")}.`;
      cards.replaceChildren(await most(a, b, state.layer));
      map.replaceChildren(await pcaMap(state.pca_layer, state.pca_network));
      const given = Object.fromEntries(Object.entries(state).filter(([key, value]) => value !== fallback[key] && value !== start[key]));
      featurediff.replace("compare", "", given);
      keep();
    }
    const changed = (name, value) => { state[name] = value; show(); };
    const networks = run.tuned.map((name) => [name, name]);
    const measures = columns.map((name) => [name, featurediff.titled(name)]);
    return {
      title: "Compare", ready: show,
      element: h("div", { class: "view" }, h("h1", {}, run.tuned.length > 1 ? "Compare two networks" : "Compare"),
        h("form", { class: "controls", onsubmit: (event) => event.preventDefault() },
          featurediff.select("a", "First network", networks, state.a, changed), featurediff.select("b", "Second network", networks, state.b, changed),
          featurediff.select("layer", "Layer", [["", "all layers"], ...run.layers.map(({ name }) => [name, name])], state.layer, changed),
          featurediff.select("visual", "Visual change", measures, state.visual, changed), featurediff.select("functional", "Functional change", measures, state.functional, changed)),
        h("section", { "aria-labelledby": "scatter" }, h("h2", { id: "scatter" }, "Visual against functional change"), charts, agreement),
        h("section", { "aria-labelledby": "either" }, h("h2", { id: "either" }, "Most changed in either network"), order, cards),
        h("section", { "aria-labelledby": "pca-map" }, h("h2", { id: "pca-map" }, "Map of pictures"),
          h("div", { class: "controls" }, featurediff.select("pca_layer", "Layer", run.layers.map(({ name }) => [name, name]), state.pca_layer, changed), featurediff.select("pca_network", "Network", run.names.map((name) => [name, name]), state.pca_network, changed)), map)),
    };
  };
})();
