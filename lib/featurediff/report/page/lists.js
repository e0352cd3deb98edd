"use strict";
/* Failed pictures, and what the columns mean. */
(() => {
  const { h, run, number, count, link, label } = featurediff;

  function table(labelled, heads, lines) {
    return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": labelled },
      h("table", {}, h("thead", {}, h("tr", {}, heads.map(([name, kind]) => h("th", { scope: "col", class: kind }, name)))), h("tbody", {}, lines)));
  }

  featurediff.views.failed = async () => {
    const groups = new Map();
    for (const row of run.data.failed) {
      const key = `${row[0]} · ${row[1]}`;
      groups.set(key, [...(groups.get(key) || []), row]);
    }
    const line = ([network, layer, channel, seed, score, reason]) => {
      const place = run.places.get(`${layer}:${channel}`);
      return h("tr", {}, h("td", {}, place === undefined ? null : featurediff.tile(network, place, 40, false)),
        h("td", {}, h("a", { href: link("channel", `${layer}:${channel}`, { network: network === run.base ? "" : network }) }, place === undefined ? `${layer}:${channel}` : label(place))),
        h("td", { class: "n" }, seed), h("td", { class: "n" }, number(score)), h("td", {}, reason));
    };
    const body = [...groups].map(([key, rows]) => {
      const all = h("details", { open: groups.size <= 3 && rows.length <= 40 }, h("summary", {}, h("b", {}, key), `: ${count(rows.length)} ${rows.length === 1 ? "picture" : "pictures"}`));
      const fill = () => all.open && all.children.length < 2 && all.append(table(key, [["picture (first seed)"], ["channel"], ["seed", "n"], ["score", "n"], ["reason"]], rows.map(line)));
      all.addEventListener("toggle", fill);
      fill();
      return all;
    });
    const columns = ["network", "layer", "channel", "seed", "score", "reason"];
    const rows = () => run.data.failed.map((row) => Object.fromEntries(columns.map((name, at) => [name, row[at]])));
    return {
      title: "Failed pictures",
      element: h("div", { class: "view" }, h("h1", {}, "Failed pictures"),
        run.data.failed.length
          ? [h("p", {}, "A picture failed if it stayed grey, if its channel's activation did not rise above the start, or if that activation is not a finite number. Failed pictures are left out of every comparison. The score is the picture's Euclidean distance to uniform grey, in grey levels."), h("p", {}, featurediff.csvButton("failed_pictures.csv", () => columns, rows)), body]
          : h("p", {}, "No picture failed: every activation rose above its start, and no picture stayed grey.")),
    };
  };

  featurediff.views.columns = async () => {
    const names = Object.keys(run.data.meanings);
    const rows = names.map((name) => ({ column: name, ...run.data.meanings[name] }));
    return {
      title: "What the columns mean",
      element: h("div", { class: "view" }, h("h1", {}, "What the columns mean"),
        h("p", {}, "The columns of this page and of the tables below ", h("code", {}, "results/compare"), "."),
        h("p", {}, featurediff.csvButton("columns.csv", () => ["column", "unit", "meaning"], () => rows)),
        table("Columns", [["column"], ["unit"], ["meaning"]], rows.map((row) => h("tr", {}, h("th", { scope: "row" }, h("code", {}, row.column)), h("td", {}, row.unit || "–"), h("td", {}, row.meaning))))),
    };
  };

  featurediff.table = table;
})();
