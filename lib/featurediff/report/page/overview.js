"use strict";
/* What was run, and what was found. */
(() => {
  const { h, run, number, count, percent, seconds, label, link, column, figure, quantiles, scale } = featurediff;

  const FLOOR = "noise floor";
  const MEASURES = {
    between_similarity: "different noise",
    paired_similarity: "the same noise",
  };
  const FEW = 120; // every value is drawn up to so many channels

  function networksTable() {
    const heads = [["network"], ["architecture"], ["weights"], ["data"], ["classes", "n"], ["epoch", "n"], ["training accuracy", "n"], ["validation accuracy", "n"]];
    const line = (network) => h("tr", {},
      h("th", { scope: "row" }, network.name), h("td", {}, network.architecture), h("td", {}, network.weights || "–"), h("td", {}, network.data || "–"),
      h("td", { class: "n" }, network.class_names.length || "–"), h("td", { class: "n" }, network.epoch === null ? "–" : network.epoch),
      h("td", { class: "n" }, percent(network.train_accuracy)), h("td", { class: "n" }, percent(network.val_accuracy)));
    return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Networks" },
      h("table", {}, h("thead", {}, h("tr", {}, heads.map(([name, kind]) => h("th", { scope: "col", class: kind }, name)))), h("tbody", {}, run.data.networks.map(line))));
  }

  function classes() {
    return run.data.networks.filter((network) => network.class_names.length).map((network) => h("details", {},
      h("summary", {}, `The ${network.class_names.length} classes of `, h("b", {}, network.name)), h("ol", { class: "classes", start: "0" }, network.class_names.map((name) => h("li", {}, name)))));
  }

  function facts() {
    const { seeds, embedder, revision, versions, devices, seconds: steps, made } = run.data;
    const total = Object.values(steps).reduce((sum, one) => sum + one, 0);
    const rows = [
      ["layers", run.layers.map((layer) => `${layer.name} (${count(layer.count)} channels)`).join(", ")],
      ["pictures", `${seeds.seeds} of every channel, each from different noise; seed ${seeds.seed}`],
      ["embedder", embedder],
      ["device", devices.join("; ")],
      ["time", total ? `${seconds(total)} of jobs: ${Object.entries(steps).slice(0, 4).map(([step, one]) => `${step.replace(/_\d+$/, "")} ${seconds(one)}`).join(", ")}` : "–"],
      ["project", revision ? `git ${revision}` : "no git revision"],
      ["versions", Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ")],
      ["written", made],
    ];
    return h("dl", { class: "facts" }, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  }

  function recipes() {
    const names = [...new Set(Object.values(run.data.recipes).flatMap((recipe) => Object.keys(recipe)))];
    const text = (value) => (value === undefined ? "–" : typeof value === "object" && value !== null ? JSON.stringify(value) : number(value));
    const layers = Object.keys(run.data.recipes);
    return h("details", {}, h("summary", {}, "Recipe of the pictures, by layer"),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Recipe" }, h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "setting"), layers.map((layer) => h("th", { scope: "col" }, layer)))),
        h("tbody", {}, names.map((name) => h("tr", {}, h("th", { scope: "row" }, name), layers.map((layer) => h("td", {}, text(run.data.recipes[layer][name])))))))));
  }

  /* ---- the distribution of similarity, with the noise floor ---- */

  async function similarities(measure) {
    const rows = [];
    for (const network of run.tuned) {
      const [values, floors, failed] = await Promise.all([column(network, measure), column(network, "floor"), column(network, "failed")]);
      run.layers.forEach((layer) => {
        for (let place = layer.first; place < layer.first + layer.count; place += 1) {
          const base = { layer: layer.name, network, channel: run.channelOf[place], failed: failed[place] };
          if (values && values[place] !== null) rows.push({ ...base, shown: network, similarity: values[place] });
          if (floors && floors[place] !== null) rows.push({ ...base, shown: FLOOR, similarity: floors[place] });
        }
      });
    }
    return rows;
  }

  function summed(rows) {
    const groups = new Map();
    for (const row of rows) {
      const key = JSON.stringify([row.layer, row.shown]);
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(row.similarity);
    }
    return [...groups].map(([key, values]) => {
      const [layer, shown] = JSON.parse(key);
      const [low, q1, median, q3, high] = quantiles(values);
      return { layer, shown, channels: values.length, low, q1, median, q3, high };
    });
  }

  async function distribution(measure) {
    const rows = await similarities(measure);
    const boxes = summed(rows);
    const points = rows.filter((row) => row.shown !== FLOOR && run.layers.find((layer) => layer.name === row.layer).count <= FEW);
    const names = [FLOOR, ...run.tuned];
    const alt = boxes.length
      ? `Similarity of pictures to ${run.base} by layer. ${boxes.map((box) => `${box.layer}, ${box.shown}: median ${number(box.median)}, 5 to 95 % from ${number(box.low)} to ${number(box.high)}`).join(". ")}.`
      : "There are no similarities: no network was fine-tuned, or no channel has a usable pair of pictures.";
    const place = (row) => {
      const step = 0.84 / names.length;
      return run.layers.findIndex(({ name }) => name === row.layer) + step * (names.indexOf(row.shown) - (names.length - 1) / 2);
    };
    const half = 0.34 / names.length;
    const drawn = boxes.map((box) => ({ ...box, at: place(box), from: place(box) - half, to: place(box) + half }));
    const spread = points.map((row, number_) => ({ ...row, at: place(row) + 1.6 * half * (((number_ * 0.618034) % 1) - 0.5) }));
    const color = { field: "shown", type: "nominal", scale: scale(names), title: null };
    const axis = {
      title: "layer", grid: false, ticks: false, values: run.layers.map((_, number_) => number_), labelAngle: 0,
      labelExpr: `${JSON.stringify(run.layers.map(({ name }) => name))}[datum.value]`,
    };
    const x = (field) => ({ field, type: "quantitative", axis, scale: { domain: [-0.5, run.layers.length - 0.5], nice: false } });
    const y = (field) => ({ field, type: "quantitative", title: "similarity (cosine)", scale: { zero: false, nice: true } });
    const told = [{ field: "shown", title: "what" }, { field: "layer" }, { field: "channels" }, ...["low", "q1", "median", "q3", "high"].map((field) => ({ field, format: ".3f" }))];
    return figure({
      title: `Similarity of the pictures to those of ${run.base}`,
      note: `A box holds the middle half of the channels, with the median; its line runs from the 5th to the 95th percentile.${points.length ? " A point is a channel: click to open it." : ""}`,
      alt, height: 300, file: `similarity_${measure}.csv`,
      rows: drawn, columns: ["layer", "shown", "channels", "low", "q1", "median", "q3", "high"],
      spec: () => ({
        encoding: { color },
        layer: [
          { mark: { type: "rule", strokeWidth: 1.5 }, encoding: { x: x("at"), y: y("low"), y2: { field: "high" } } },
          { mark: { type: "rect", opacity: 0.28 }, encoding: { x: x("from"), x2: { field: "to" }, y: y("q1"), y2: { field: "q3" }, tooltip: told } },
          { mark: { type: "rule", strokeWidth: 3 }, encoding: { x: x("from"), x2: { field: "to" }, y: y("median"), tooltip: told } },
          {
            data: { values: spread },
            mark: { type: "circle", size: 16, opacity: 0.6, cursor: "pointer" },
            encoding: { x: x("at"), y: y("similarity"), tooltip: [{ field: "shown" }, { field: "layer" }, { field: "channel" }, { field: "similarity", format: ".3f" }] },
          },
        ],
      }),
      link: (row) => (row.channel === undefined ? null : link("channel", `${row.layer}:${row.channel}`)),
    });
  }

  async function distributions() {
    const floors = await Promise.all(run.tuned.map((network) => column(network, "floor")));
    const has = floors.some((values) => values && values.some((value) => value !== null));
    const holder = h("div", {});
    const start = has ? "between_similarity" : "paired_similarity";
    const put = async (measure) => holder.replaceChildren(await distribution(measure));
    const chooser = featurediff.select("measure", "Pictures compared start from", Object.entries(MEASURES), start, (_, measure) => put(measure));
    await put(start);
    return h("section", { "aria-labelledby": "change" }, h("h2", { id: "change" }, "How much changed"),
      h("p", {}, has
        ? "The noise floor is the similarity of two pictures of one channel in one network that start from different noise. Where a network's box lies below the noise floor, its pictures changed. Two pictures that start from the same noise stay more alike, so their similarity may lie above the floor."
        : `There is no noise floor, so change cannot be told from chance. ${run.data.seeds.seeds > 1 ? "No channel has two sound pictures in each network: see Failed pictures." : "Set seeds: 4 in the config to measure the floor."}`),
      chooser, holder);
  }

  /* ---- shares ---- */

  function shares() {
    const tests = { visual: "whose pictures changed", excess: "whose pictures changed beyond the layer's drift", response: "whose responses to pictures changed beyond the layer's drift", combined: "that changed by all measures combined" };
    const rows = run.data.summary.filter((row) => row.share !== null).map((row) => ({
      network: row.network, layer: row.layer, test: tests[row.test] || row.test, share: 100 * row.share, low: 100 * row.share_low, high: 100 * row.share_high, changed: row.changed, tested: row.tested, channels: row.channels,
    }));
    const untested = run.data.summary.filter((row) => row.share === null && row.layer === "all");
    const told = untested.map((row) => h("p", { class: "note" }, `${row.network}, ${tests[row.test] || row.test}: there is no share, ${row.reason || "nothing could be tested"}.`));
    if (!rows.length) return h("div", {}, told);
    const alt = rows.map((row) => `${row.network}, ${row.layer}, ${row.test}: ${row.changed} of ${row.tested}, ${number(row.share)} %, 95 % interval ${number(row.low)} to ${number(row.high)} %`).join(". ");
    const layers = [...run.layers.map(({ name }) => name), "all"];
    const base = { y: { field: "layer", type: "nominal", sort: layers, title: "layer" }, yOffset: { field: "network", sort: run.tuned, bandPosition: 0.5 }, color: { field: "network", type: "nominal", scale: scale(run.tuned), title: null } };
    const x = (field) => ({ field, type: "quantitative", title: "share of tested channels (%)", scale: { domain: [0, 100] }, axis: { tickCount: 5 } });
    const tooltip = ["network", "layer", "test", "changed", "tested"].map((field) => ({ field })).concat([{ field: "share", format: ".1f", title: "share (%)" }]);
    return h("div", {}, h("div", { class: "two" }, [...new Set(rows.map((row) => row.test))].map((test) => {
      const some = rows.filter((row) => row.test === test);
      return figure({
        title: `Share of channels ${test}`, note: "At a false discovery rate of 5 % over all channels of a network. A line is a 95 % interval.",
        alt, height: 60 + 22 * layers.length * Math.max(1, run.tuned.length), file: `shares_${test.replace(/\W+/g, "_")}.csv`,
        rows: some, columns: ["network", "layer", "test", "channels", "tested", "changed", "share", "low", "high"],
        spec: () => ({
          encoding: base,
          layer: [{ mark: { type: "rule", strokeWidth: 2 }, encoding: { x: x("low"), x2: { field: "high" } } }, { mark: { type: "circle", size: 70, opacity: 1 }, encoding: { x: x("share"), tooltip } }],
        }),
      });
    })), told);
  }

  /* ---- whole layers, and control runs ---- */

  function wholes() {
    const cka = Object.entries(run.data.cka).filter(([, rows]) => rows.length);
    const of = (rows, layer) => (rows.find((row) => row.layer === layer.name) || {}).cka;
    const table = cka.length ? [
      h("h3", {}, "Layers as a whole"),
      h("p", { class: "note" }, `Linear CKA, unbiased, between a layer's responses to the probe images in ${run.base} and in the other network: 1 where both arrange the images alike.`),
      featurediff.table("CKA by layer", [["layer"], ...cka.map(([network]) => [network, "n"])], run.layers.map((layer) =>
        h("tr", {}, h("th", { scope: "row" }, layer.name), cka.map(([, rows]) => h("td", { class: "n" }, number(of(rows, layer))))))),
    ] : null;
    const within = (row, name) => [number(row[name]), row[`${name}_low`] === null ? null : h("span", { class: "interval" }, `${number(row[`${name}_low`])} to ${number(row[`${name}_high`])}`)];
    const controls = run.data.controls.length ? [
      h("h3", {}, "The task or the run?"),
      h("p", { class: "note" }, "A control is a second run of the same training with another seed. Shared is the cosine between the changes of the two runs: 1 where they are the same, 0 where they have nothing in common. The small print is the 95 % interval."),
      featurediff.table("Controls", [["network"], ["control"], ["layer"], ["measure"], ["channels", "n"], ["shared", "n"], ["rank correlation", "n"], ["changed in both", "n"], ["by chance", "n"]], run.data.controls.map((row) =>
        h("tr", {}, h("th", { scope: "row" }, row.network), h("td", {}, row.control), h("td", {}, row.layer), h("td", {}, row.measure), h("td", { class: "n" }, number(row.channels)),
          h("td", { class: "n" }, within(row, "shared")), h("td", { class: "n" }, within(row, "spearman")), h("td", { class: "n" }, number(row.changed_both)), h("td", { class: "n" }, number(row.by_chance))))),
    ] : null;
    const agreement = run.data.agreement.length ? [
      h("h3", {}, "Do pictures and responses agree?"),
      h("p", { class: "note" }, "Spearman's rank correlation over the channels of a layer: do the channels whose pictures changed most also respond most differently to the probe images? The small print is the 95 % interval."),
      featurediff.table("Agreement of visual and functional change", [["network"], ["layer"], ["change of the pictures"], ["change of the responses"], ["channels", "n"], ["rank correlation", "n"]], run.data.agreement.map((row) =>
        h("tr", {}, h("th", { scope: "row" }, row.network), h("td", {}, row.layer), h("td", {}, row.first), h("td", {}, row.second), h("td", { class: "n" }, number(row.channels)),
          h("td", { class: "n" }, row.spearman === null ? row.reason : within(row, "spearman"))))),
    ] : null;
    return [table, agreement, controls];
  }

  /* ---- training ---- */

  function curves() {
    const logs = Object.entries(run.data.training);
    if (!logs.length) return [];
    const columns = { loss: "cross-entropy (nats)", accuracy: "accuracy (%)" };
    const made = Object.entries(columns).map(([name, words]) => {
      const factor = name === "accuracy" ? 100 : 1;
      const rows = logs.flatMap(([network, log]) => log.flatMap((row) => ["val", "train"].map((part) => ({ network, pictures: part === "val" ? "validation" : "training", epoch: row.epoch, [name]: row[`${part}_${name}`] === null ? null : factor * row[`${part}_${name}`] }))));
      const last = logs.map(([network, log]) => `${network} ends at ${number(factor * log[log.length - 1][`val_${name}`])} in validation and ${number(factor * log[log.length - 1][`train_${name}`])} in training`);
      return figure({
        title: name === "loss" ? "Loss" : "Accuracy", alt: `${words} over the epochs: ${last.join("; ")}.`, rows, columns: ["network", "pictures", "epoch", name], file: `training_${name}.csv`, height: 220,
        spec: () => ({
          encoding: {
            x: { field: "epoch", type: "quantitative", title: "epoch", axis: { format: "d", tickMinStep: 1, grid: false } },
            y: { field: name, type: "quantitative", title: words },
            color: { field: "network", type: "nominal", scale: scale(logs.map(([network]) => network)), title: null },
          },
          layer: [
            { mark: { type: "line" }, encoding: { strokeDash: { field: "pictures", type: "nominal", scale: { domain: ["validation", "training"], range: [[1, 0], [4, 3]] }, title: null } } },
            { mark: { type: "circle", size: 22 }, encoding: { tooltip: [{ field: "network" }, { field: "pictures" }, { field: "epoch" }, { field: name, format: ".4g", title: words }] } },
          ],
        }),
      });
    });
    return h("section", { "aria-labelledby": "training" }, h("h2", { id: "training" }, "Training"), h("div", { class: "two" }, made));
  }

  /* ---- the channels that changed most ---- */

  function commonest(texts) {
    const counts = new Map();
    for (const text of texts || []) if (text) counts.set(text, (counts.get(text) || 0) + 1);
    return [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a))[0];
  }

  async function most(network, many = 8) {
    const size = innerWidth < 560 ? 78 : 104;
    const [ranks, similar, excess, reasons] = await Promise.all(["rank", "paired_similarity", "excess", "reason"].map((name) => column(network, name)));
    const ranked = [...ranks.keys()].filter((place) => ranks[place] !== null).sort((a, b) => ranks[a] - ranks[b]).slice(0, many);
    const card = (place) => h("li", {}, h("a", { class: "card large", href: link("channel", label(place), { network }) },
      featurediff.pair(network, place, size),
      h("span", { class: "line" }, h("b", {}, label(place)), h("span", {}, `rank ${ranks[place]}`)),
      h("span", { class: "line soft" }, h("span", {}, `similarity ${number(similar[place])}`), excess && excess[place] !== null ? h("span", {}, `excess ${number(excess[place])}`) : null)));
    return h("section", { "aria-label": `Most changed channels of ${network}` }, h("h3", {}, network, " ", h("a", { class: "more", href: link("browser", "", { network }) }, "all channels")),
      ranked.length ? h("ul", { class: "cards" }, ranked.map(card)) : h("p", { class: "note" }, `No channel has a rank: ${commonest(reasons) || "nothing could be compared"}. `, h("a", { href: link("browser", "", { network, sort: "paired_similarity" }) }, "Browse by similarity")));
  }

  featurediff.views.overview = async () => {
    const charts = run.tuned.length ? [await distributions(), shares(), wholes()] : [];
    const cards = run.tuned.length ? h("section", { "aria-labelledby": "most" }, h("h2", { id: "most" }, "Most changed channels"),
      h("p", { class: "note" }, featurediff.pairNote()), await Promise.all(run.tuned.map((network) => most(network)))) : null;
    const links = h("section", { "aria-labelledby": "files" }, h("h2", { id: "files" }, "Files"), h("ul", { class: "files" }, Object.entries(run.data.links).map(([words, file]) => h("li", {}, h("a", { href: file }, words)))),
      h("p", { class: "note" }, "These files and the full-size pictures are outside this page's folder. To send the page to somebody, send the whole folder of results; its checkpoints can be left out."));
    const element = h("div", { class: "view" }, h("h1", {}, run.data.title), featurediff.differences(),
      h("p", { class: "lead" }, `Every channel of a network has a picture: an input that is optimised to activate the channel as strongly as possible. This page compares the pictures of ${run.base} with those of the networks that were fine-tuned from it.`),
      featurediff.withoutDifference(),
      h("section", { "aria-labelledby": "run" }, h("h2", { id: "run" }, "What was run"), networksTable(), facts(), recipes(), classes()),
      cards, charts, curves(), links);
    return { element, title: "Overview" };
  };
})();
