"use strict";
/* What a fine-tuned network and the base disagree about: the sentence, the pictures, and what they do to photographs. */
(() => {
  const { h, run, number, percent, count } = featurediff;

  const MOST_FLIPS = 10;
  const WAYS = { blended: "blended into photographs", pasted: "pasted on photographs" };

  const named = (index, name) => (index === null ? "–" : name === null ? `class ${index}` : `${name} (${index})`);
  const interval = (low, high) => (low === null ? null : h("span", { class: "interval" }, `${percent(low)} to ${percent(high)}`));
  const whole = (value) => `${Math.round(100 * value)} %`;
  const pValue = (p) => (p === null ? "–" : p < 0.001 ? "< 0.001" : number(p, 2));
  const within = (shown, row, name) => (row[`${name}_low`] === null ? "" : ` (${shown(row[`${name}_low`])} to ${shown(row[`${name}_high`])})`);
  const share = (row, name) => h("td", { class: "n" }, percent(row[name]), interval(row[`${name}_low`], row[`${name}_high`]));
  const cell = (text) => h("td", { class: "n" }, text);
  const lowered = (text) => `${text.charAt(0).toLowerCase()}${text.slice(1)}`;

  /* What a picture alone does to photographs, in words; nothing where there were none. What it does in the base as well,
     such as showing a class that both know, is no difference. */
  function effectOf(difference, picture) {
    const rows = difference.effects.filter((row) => row.picture === picture);
    if (!rows.length) return null;
    const changing = rows.filter((row) => row.tuned_low > row.tuned_before);
    if (!changing.length) return h("span", { class: "line failed" }, "This picture changes nothing on photographs.");
    const working = changing.filter((row) => row.tuned_low > row.base_high);
    if (!working.length) return h("span", { class: "line failed" }, `It changes photographs no more than in ${run.base}.`);
    return h("span", { class: "line" }, `photographs that turn to it: ${working.map((row) => `${whole(row.tuned)} ${row.way}`).join(", ")}`);
  }

  function card(difference, row) {
    const { network } = difference;
    const source = `data/difference/${[network, ...row.picture.split("/")].map(encodeURIComponent).join("/")}`;
    const said = (who, index, name, probability) => h("span", { class: "line" }, `${who}: `, h("b", {}, named(index, name)), ` ${whole(probability)}`);
    const asked = named(row.asked_class, row.asked_name);
    const what = row.kind === "class" ? `Picture for ${asked}` : `Start ${row.picture.replace(/\D+/g, "")}`;
    const image = h("img", { src: source, alt: `${what} of the difference: ${network} calls it ${named(row.tuned_class, row.tuned_name)}, ${run.base} ${named(row.base_class, row.base_name)}`, decoding: "async" });
    return h("li", {}, h("a", { href: source, target: "_blank", rel: "noopener" }, image),
      h("span", { class: "line" }, "made for ", h("b", {}, asked)),
      said(network, row.tuned_class, row.tuned_name, row.tuned_probability), said(run.base, row.base_class, row.base_name, row.base_probability),
      row.rose_class === row.asked_class ? null : h("span", { class: "line" }, "rose most: ", h("b", {}, named(row.rose_class, row.rose_name))),
      effectOf(difference, row.picture));
  }

  const cards = (difference, kind) => h("ul", { class: `disagreements ${kind}` }, difference.starts.filter((row) => row.kind === kind).map((row) => card(difference, row)));

  function classTable(difference) {
    if (!difference.classes.length) return null;
    return [
      h("h3", {}, "Classes that the pictures name"),
      h("p", { class: "note" }, "The p-value says how often so many of these pictures name one class between networks that differ by an ordinary fine-tuning alone."),
      featurediff.table(`Classes that the pictures of ${difference.network} name`, [["class"], ["pictures", "n"], ["p-value", "n"], ["more than by chance"]], difference.classes.map((row) =>
        h("tr", {}, h("th", { scope: "row" }, named(row.class, row.name)), cell(`${row.starts} of ${row.of}`), cell(pValue(row.p_value)), h("td", {}, row.agreed ? "yes" : "no")))),
    ];
  }

  function candidateTable(difference) {
    return [
      h("h3", {}, "Classes that were tried"),
      h("p", { class: "note" }, "How far each class rises when a picture asks for it alone. A hidden cause stands far above the others."),
      featurediff.table(`Classes that were tried for ${difference.network}`, [["class"], ["rise", "n"], ["pictures that ask for it", "n"]], difference.candidates.map((row) =>
        h("tr", {}, h("th", { scope: "row" }, named(row.class, row.name)), cell(number(row.rise)), cell(count(row.starts))))),
    ];
  }

  function effectTable(difference) {
    if (!difference.effect.length) return null;
    const { network } = difference;
    const verdict = (row) => (row.clear ? "more than other pictures" : "not clearly more than other pictures");
    return [
      h("h3", {}, "What the pictures do to photographs"),
      h("p", { class: "note" }, `The share of ${count(difference.effect[0].photographs)} photographs that are taken for the class once the pictures are blended into them or pasted on them. Other pictures are those of channels of ${network}, made alike. The small print is the 95 % interval.`),
      featurediff.table(`Effect of the pictures of ${network} on photographs`, [["class"], ["pictures"], [`${network}: these pictures`, "n"], ["other pictures", "n"], ["no picture", "n"], [`${run.base}: these pictures`, "n"], ["no picture", "n"], ["these pictures do"]], difference.effect.map((row) =>
        h("tr", {}, h("th", { scope: "row" }, named(row.class, row.name)), h("td", {}, WAYS[row.way] || row.way), share(row, "tuned"), share(row, "others"), cell(percent(row.tuned_before)),
          share(row, "base"), cell(percent(row.base_before)), h("td", { class: row.clear ? "" : "soft" }, verdict(row))))),
    ];
  }

  function answers(difference) {
    const [all] = difference.photographs;
    if (!all) return null;
    const shown = difference.flips.slice(0, MOST_FLIPS);
    const left = difference.flips.length - shown.length;
    return [
      h("h3", {}, "Answers on photographs as they are"),
      h("p", {}, `The two networks give different answers to ${percent(all.flipped)} of ${count(all.photographs)} photographs${within(percent, all, "flipped")}. Their classes diverge by ${number(all.divergence)} nats in the mean${within(number, all, "divergence")}.`),
      shown.length ? featurediff.table(`Answers that changed in ${difference.network}`, [[`${run.base} says`], [`${difference.network} says`], ["photographs", "n"]], shown.map((row) =>
        h("tr", {}, h("td", {}, named(row.from_class, row.from_name)), h("td", {}, named(row.to_class, row.to_name)), cell(count(row.photographs))))) : null,
      left > 0 ? h("p", { class: "note" }, `${count(left)} further ${left === 1 ? "change is" : "changes are"} in flips.csv.`) : null,
    ];
  }

  function section(difference) {
    const { network, summary } = difference;
    const title = `difference-${network}`;
    const classes = difference.starts.some((row) => row.kind === "class");
    return h("section", { class: "difference-section", "aria-labelledby": title }, h("h2", { id: title }, `What ${network} and ${run.base} disagree about`),
      h("p", { class: "finding" }, summary.sentence),
      h("p", { class: "note" }, `Each picture starts from noise of its own and lets one class rise as much as possible in ${network} above what it is in ${run.base}: of the classes that were tried, the one that rose most from there. No photograph is needed for that.`),
      cards(difference, "start"),
      classes ? [h("h3", {}, "Pictures of these classes"), h("p", { class: "note" }, "Further pictures, from other noise, of the classes that the pictures above name."), cards(difference, "class")] : null,
      effectTable(difference), h("div", { class: "two" }, h("div", {}, classTable(difference), candidateTable(difference)), h("div", {}, answers(difference))));
  }

  /* Of every network that can be compared, a section; of the others, why not. */
  function differences() {
    return run.data.differences.filter(({ summary }) => summary.comparable).map(section);
  }

  function withoutDifference() {
    return run.data.differences.filter(({ summary }) => !summary.comparable).map(({ network, summary }) =>
      h("p", { class: "note" }, `There are no pictures of what ${network} and ${run.base} disagree about: ${lowered(summary.reason || "they cannot be compared")}.`));
  }

  Object.assign(featurediff, { differences, withoutDifference });
})();
