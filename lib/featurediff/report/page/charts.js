"use strict";
/*
 * Charts by Vega-Lite. Each is a figure with a title, the plot, and its data as a table and as CSV. The plot's text
 * alternative says what can be seen in it. A click on a point opens its channel, and so does the link in the table.
 */
(() => {
  const { h, run, count, number, script } = featurediff;

  let library = null;
  const vega = () => (library = library || script("vega.js"));

  function theme() {
    const dark = featurediff.dark();
    const ink = dark ? "#e4e4e2" : "#24272b";
    const soft = dark ? "#a9aeb4" : "#5d6268";
    const line = dark ? "#33373c" : "#e3e0da";
    return {
      background: "transparent",
      font: "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif",
      view: { stroke: null },
      axis: { labelColor: soft, titleColor: ink, gridColor: line, domainColor: soft, tickColor: soft, titleFontWeight: 500, labelFontSize: 12, titleFontSize: 12, labelLimit: 140 },
      legend: { labelColor: ink, titleColor: soft, titleFontWeight: 500, labelFontSize: 12, orient: "top", symbolStrokeWidth: 2 },
      header: { labelColor: ink, titleColor: ink, labelFontWeight: 600 },
      title: { color: ink },
    };
  }

  /* A colour for each network; grey for the noise floor and the base. */
  function scale(names) {
    return { domain: names, range: names.map((name) => featurediff.color(name)) };
  }

  /* ---- CSV: no cell that a spreadsheet would run as a formula, see featurediff/runtime/csv_injection.py ---- */

  const FORMULA = /(?:^|(?<=[;\t\r\n]))(["']*)(?=[=+\-@\t\r＝＋－＠])/g;

  function cell(value) {
    if (value === null || value === undefined) return "";
    const text = typeof value === "number" ? String(value) : String(value).replace(FORMULA, "$1'");
    return /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  }

  function csv(columns, rows) {
    return [columns, ...rows.map((row) => columns.map((name) => row[name]))].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
  }

  function download(file, columns, rows) {
    const made = URL.createObjectURL(new Blob([csv(columns, rows)], { type: "text/csv;charset=utf-8" }));
    const anchor = h("a", { href: made, download: file });
    document.body.append(anchor);
    anchor.click();
    anchor.remove();
    setTimeout(() => URL.revokeObjectURL(made), 10_000);
  }

  /* `columns` and `rows`: functions that are called when the button is pressed. */
  function csvButton(file, columns, rows) {
    return h("button", { type: "button", class: "quiet", onclick: () => download(file, columns(), rows()) }, `CSV`, h("span", { class: "unseen" }, ` of ${file}`));
  }

  /* ---- the figure ---- */

  /*
   * `spec`: () => Vega-Lite without its data; `rows`, `columns`: the data as drawn and as downloaded; `alt`: what it shows;
   * `link`: row => address, of a point; `file`: name of the download.
   */
  function figure({ title, spec, rows, columns, alt, file, link, note, height = 260 }) {
    const canvas = h("div", { "aria-hidden": "true" }); // Vega writes its own label on the element that it draws into
    const plot = h("div", { class: "plot", role: "img", "aria-label": alt, style: { "min-height": `${height}px` } }, canvas);
    const table = h("details", { class: "data" }, h("summary", {}, "Data as a table"));
    table.addEventListener("toggle", () => table.open && table.children.length < 2 && table.append(dataTable(columns, rows, link)));
    const tools = h("div", { class: "tools" }, csvButton(file, () => columns, () => rows), table);
    const whole = h("figure", { class: "chart" }, h("figcaption", {}, h("b", {}, title), note ? h("span", { class: "note" }, note) : null), plot, tools);
    let view = null;
    async function draw() {
      try {
        await vega();
        if (view) view.finalize();
        const full = { width: "container", height, autosize: { type: "fit", contains: "padding" }, data: { values: rows }, config: theme(), ...spec() };
        const made = await window.vegaEmbed(canvas, full, { actions: false, renderer: rows.length > 1500 ? "canvas" : "svg", ast: false });
        view = made;
        canvas.setAttribute("aria-hidden", "true");
        if (link) {
          plot.classList.add("linked");
          made.view.addEventListener("click", (_, item) => {
            const to = item && item.datum && link(item.datum);
            if (to) location.hash = to;
          });
        }
        plot.dataset.drawn = "yes";
      } catch (error) {
        plot.replaceChildren(h("p", { class: "note" }, `This chart cannot be drawn: ${error.message}`));
      }
    }
    const seen = new IntersectionObserver((entries) => {
      if (!entries.some((one) => one.isIntersecting)) return;
      seen.disconnect();
      draw();
    }, { rootMargin: "300px" });
    seen.observe(plot);
    const again = () => (plot.isConnected ? view && draw() : document.removeEventListener("themechange", again));
    document.addEventListener("themechange", again);
    return whole;
  }

  function dataTable(columns, rows, link, most = 200) {
    const shown = rows.slice(0, most);
    const head = h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)));
    const line = (row) =>
      h("tr", {}, columns.map((name, at) => {
        const text = number(row[name]);
        return h("td", { class: typeof row[name] === "number" ? "n" : null }, at === 0 && link && link(row) ? h("a", { href: link(row) }, text) : text);
      }));
    const rest = rows.length > most ? h("p", { class: "note" }, `These are the first ${most} of ${count(rows.length)} rows. The CSV file has all of them.`) : null;
    return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Data of the chart" }, h("table", {}, h("thead", {}, head), h("tbody", {}, shown.map(line))), rest);
  }

  /* Quantiles of numbers, without the nulls: [5 %, 25 %, 50 %, 75 %, 95 %]. */
  function quantiles(values, shares = [0.05, 0.25, 0.5, 0.75, 0.95]) {
    const sorted = values.filter((value) => value !== null && value !== undefined).sort((a, b) => a - b);
    if (!sorted.length) return null;
    return shares.map((share) => {
      const place = share * (sorted.length - 1);
      const low = Math.floor(place);
      const high = Math.min(low + 1, sorted.length - 1);
      return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
    });
  }

  Object.assign(featurediff, { figure, csv, csvButton, quantiles, scale, charts: { cell } });
})();
