"use strict";
/* One channel: its pictures in every network, their difference, its numbers, its recipe, and how to render it again. */
(() => {
  const { h, run, number, label, link, channel, figure, scale } = featurediff;

  const size = () => (innerWidth < 560 ? 104 : 168); // CSS pixels of a picture

  function summary(network, values) {
    if (values.frozen === true) return `${network}: this layer was frozen and did not change.`;
    const parts = [];
    if (values.rank !== null && values.rank !== undefined) parts.push(`rank ${number(values.rank)} of ${number(run.size)}`);
    if (values.paired_similarity !== null) parts.push(`similarity ${number(values.paired_similarity)}${values.floor !== null ? ` (noise floor ${number(values.floor)})` : ""}`);
    const found = [["q_visual", "pictures changed"], ["q_excess", "changed beyond drift"]].filter(([name]) => values[name] !== null && values[name] !== undefined);
    for (const [name, what] of found) parts.push(`${what}: ${values[name] < featurediff.LEVEL ? "yes" : "no evidence"} (q = ${number(values[name])})`);
    if (values.correlation !== null) parts.push(`correlation of the responses to probe images: ${number(values.correlation)}`);
    return `${network}: ${parts.length ? parts.join("; ") : values.reason || "nothing could be compared"}.`;
  }

  /* ---- pictures: a column for each network, a row for each seed ---- */

  function pictureTable(place, known) {
    const seeds = known[run.base].pictures.map(([seed]) => seed);
    const cell = (network, seed) => {
      const one = known[network].pictures.find(([number_]) => number_ === seed);
      if (!one) return h("td", {}, "–");
      const [, start, reached, , , reason] = one;
      return h("td", {}, featurediff.picture(network, place, seed, size()),
        h("span", { class: "caption", title: `activation at the start: ${number(start)}` }, `activation ${number(reached)}`), reason ? h("span", { class: "mark failed" }, reason) : null);
    };
    const head = h("tr", {}, h("td", {}), run.names.map((network) => h("th", { scope: "col" }, network)));
    const line = (seed) => h("tr", {}, h("th", { scope: "row" }, `seed ${seed}`), run.names.map((network) => cell(network, seed)));
    const further = seeds.length > 1 ? h("tbody", {}, seeds.slice(1).map(line)) : null;
    return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Pictures" },
      h("table", { class: "pictures" }, h("thead", {}, head), h("tbody", {}, line(seeds[0]), differences(place)), further));
  }

  /* The browser computes the difference |base − tuned|: the brighter, the larger. */
  function differences(place) {
    if (!run.tuned.length) return null;
    const strength = h("input", { type: "range", min: "1", max: "8", step: "0.5", value: "2", id: "strength" });
    const shown = h("output", { for: "strength" }, "× 2");
    const boxes = run.tuned.map((network) => {
      const layers = [run.base, network].map((name) => h("img", { src: featurediff.file(name, place, 0), alt: "", width: size(), height: size(), loading: "lazy" }));
      const box = h("span", { class: "difference", role: "img", "aria-label": `Difference of ${label(place)} between ${run.base} and ${network}`, style: { width: `${size()}px`, height: `${size()}px` } }, layers);
      layers[0].addEventListener("error", () => box.replaceWith(h("span", { class: "note" }, "The difference needs the full-size files.")));
      return [network, box];
    });
    strength.addEventListener("input", () => {
      shown.textContent = `× ${strength.value}`;
      boxes.forEach(([, box]) => box.style.setProperty("--strength", strength.value));
    });
    const cells = run.names.map((network) => {
      if (network === run.base) return h("td", { class: "control" }, h("label", { for: "strength" }, "Brightness of the difference "), strength, shown);
      return h("td", {}, boxes.find(([name]) => name === network)[1], h("span", { class: "caption" }, `|${run.base} − ${network}|`));
    });
    return h("tr", {}, h("th", { scope: "row" }, "difference"), cells);
  }

  /* ---- trajectories ---- */

  function trajectories(place, known) {
    const rows = [];
    for (const network of run.names) {
      for (const [seed, , , steps, values] of known[network].pictures) {
        values.forEach((value, at) => rows.push({ network, seed, step: values.length > 1 ? Math.round((at * (steps - 1)) / (values.length - 1)) : 0, activation: value }));
      }
    }
    if (!rows.length) return h("p", { class: "note" }, "These pictures were rendered by an older version, which did not record the activation at each step.");
    const ends = run.names.map((network) => {
      const of = rows.filter((row) => row.network === network && row.seed === 0);
      return of.length ? `${network} from ${number(of[0].activation)} to ${number(of[of.length - 1].activation)}` : null;
    });
    const names = run.names;
    return figure({
      title: "Activation during optimisation", note: "The objective at each step, under that step's transforms. There is a line for each seed.",
      alt: `Activation over the steps of the optimizer, first seed: ${ends.filter(Boolean).join("; ")}.`,
      rows, columns: ["network", "seed", "step", "activation"], file: `${label(place).replace(":", "_")}_trajectories.csv`, height: 230,
      spec: () => ({
        mark: { type: "line", opacity: 0.85, strokeWidth: 1.6 },
        encoding: {
          x: { field: "step", type: "quantitative", title: "step", axis: { grid: false } },
          y: { field: "activation", type: "quantitative", title: "activation" },
          color: { field: "network", type: "nominal", scale: scale(names), title: null },
          detail: { field: "seed" },
          tooltip: [{ field: "network" }, { field: "seed" }, { field: "step" }, { field: "activation", format: ".4g" }],
        },
      }),
    });
  }

  /* ---- numbers ---- */

  const INTERVALS = { visual_change: ["visual_change_low", "visual_change_high"], excess: ["excess_low", "excess_high"] };
  const MAIN = [
    "rank", "paired_similarity", "floor", "between_similarity", "visual_change", "q_visual", "excess", "q_excess", "correlation", "top_overlap",
    "weight_change", "tuned_likes_base_picture", "base_likes_tuned_picture", "activation_reached", "failed", "reason",
  ];
  const WITHIN = new Set(Object.values(INTERVALS).flat());

  function numbers(place, known) {
    const names = [...new Set([...run.tuned, run.base].flatMap((network) => run.data.columns[network]))].filter((name) => !WITHIN.has(name));
    const cell = (network, name) => {
      const { values } = known[network];
      if (!(name in values)) return h("td", { class: "n" }, "");
      const [low, high] = (INTERVALS[name] || []).map((end) => values[end]);
      const text = typeof values[name] === "string" ? values[name] : number(values[name]);
      const interval = low !== null && low !== undefined ? h("span", { class: "interval" }, `${number(low)} to ${number(high)}`) : null;
      return h("td", { class: typeof values[name] === "string" ? "words" : "n", title: typeof values[name] === "number" ? String(values[name]) : null }, text, interval);
    };
    const kept = names.filter((name) => !/reason$/.test(name) || run.names.some((network) => known[network].values[name]));
    const line = (name) => h("tr", {},
      h("th", { scope: "row" }, h("code", {}, name), h("span", { class: "meaning" }, (run.data.meanings[name] || {}).meaning || "")),
      h("td", {}, featurediff.unit(name)), [...run.tuned, run.base].map((network) => cell(network, name)));
    const rows = () => kept.concat([...WITHIN]).map((name) => ({ column: name, unit: featurediff.unit(name), ...Object.fromEntries(run.names.map((network) => [network, known[network].values[name]])) }));
    const heads = [["column"], ["unit"], ...[...run.tuned, run.base].map((network) => [network, "n"])];
    const rest = kept.filter((name) => !MAIN.includes(name));
    return [featurediff.table("Main numbers", heads, MAIN.filter((name) => kept.includes(name)).map(line)),
      h("details", {}, h("summary", {}, `${rest.length} more numbers`), featurediff.table("More numbers", heads, rest.map(line))),
      h("p", { class: "note" }, "The small print below a number is its 95 % interval over seeds. A dash means that there is no number; the row reason says why. "),
      featurediff.csvButton(`${label(place).replace(":", "_")}.csv`, () => ["column", "unit", ...run.names], rows)];
  }

  function recipe(place, known) {
    const settings = { ...run.data.recipes[run.layers[run.layerOf[place]].name], ...known[run.base].own };
    const text = (value) => (typeof value === "object" && value !== null ? JSON.stringify(value) : number(value));
    return h("details", {}, h("summary", {}, "Recipe of these pictures"), h("dl", { class: "facts" }, Object.entries(settings).map(([name, value]) => [
      h("dt", {}, name), h("dd", {}, text(value), known[run.base].own && name in known[run.base].own ? h("span", { class: "mark" }, "set for this channel") : null)])));
  }

  /* ---- files, and the command that makes them again ---- */

  function files(place, known) {
    const seeds = known[run.base].pictures.map(([seed]) => seed);
    const list = run.names.map((network) => h("li", {}, h("b", {}, network), " ", seeds.map((seed) => [h("a", { href: featurediff.file(network, place, seed) }, seed ? `seed${seed}/channel${run.channelOf[place]}.png` : `${run.data.results}/${network}/pictures/${run.layers[run.layerOf[place]].name}/channel${run.channelOf[place]}.png`), " "])));
    const path = (network, seed) => `${run.data.results}/${network}/pictures/${run.layers[run.layerOf[place]].name}/${seed ? `seed${seed}/` : ""}channel${run.channelOf[place]}.png`;
    const all = run.names.flatMap((network) => seeds.map((seed) => featurediff.quoted(path(network, seed)))).join(" ");
    return [h("ul", { class: "files" }, list), h("p", {}, "To render only this channel again, in every network and from every seed:"), command(`rm -f ${all} && ${run.data.command} ${all}`),
      h("p", { class: "note" }, "To render it with other settings, add an override for this channel to the config (visualize.layers.<layer>.overrides). Nothing has to be deleted for that.")];
  }

  function command(text) {
    const copy = h("button", { type: "button", class: "quiet", onclick: async () => {
      try {
        await navigator.clipboard.writeText(text);
        copy.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code); // the page may not write to the clipboard: the text is selected, so that Ctrl+C copies it
        copy.textContent = "Selected";
      }
      featurediff.say(copy.textContent);
    } }, "Copy");
    const code = h("code", {}, text);
    return h("div", { class: "command" }, h("pre", { tabindex: "0", "aria-label": "Command" }, code), copy);
  }

  featurediff.views.channel = async ({ rest, query }) => {
    const place = run.places.get(rest);
    if (place === undefined) throw new Error(`There is no channel ${rest} in this run.`);
    const known = Object.fromEntries(await Promise.all(run.names.map(async (network) => [network, await channel(network, place)])));
    const aimed = query.get("network") || "";
    const step = (by, text) => (place + by >= 0 && place + by < run.size ? h("a", { href: link("channel", label(place + by), { network: aimed }), "aria-label": `${text}: ${label(place + by)}` }, by < 0 ? `← ${label(place + by)}` : `${label(place + by)} →`) : null);
    const ordered = [...run.tuned].sort((a, b) => (b === aimed) - (a === aimed));
    const section = (id, title, ...body) => h("section", { "aria-labelledby": id }, h("h2", { id }, title), body);
    const evidence = await featurediff.evidence(place, known, ordered);
    return {
      title: label(place),
      element: h("div", { class: "view" },
        h("nav", { class: "steps", "aria-label": "Channels" }, step(-1, "Previous channel"), step(1, "Next channel")),
        h("h1", {}, label(place)),
        h("ul", { class: "verdicts" }, ordered.map((network) => h("li", {}, summary(network, known[network].values)))),
        section("pictures", "Pictures", pictureTable(place, known)),
        evidence.film.length ? section("film", "Epoch by epoch", evidence.film) : null,
        evidence.top.length ? section("top", "Photographs that activate it most", evidence.top) : null,
        evidence.selectivity ? section("classes", "Class selectivity", evidence.selectivity) : null,
        section("course", "Optimisation", trajectories(place, known)),
        section("numbers", "All numbers", numbers(place, known)),
        section("again", "Recipe and files", recipe(place, known), files(place, known))),
    };
  };
})();
