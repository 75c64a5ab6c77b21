#include "nibble/report/html.h"

namespace nibble {

// Colours first: every plot and table takes its own from here, so light and dark differ in one
// place. c0 the baseline, c1 8 bits, c2 4 bits, c3 3 bits, c4 2 bits, c5 other. Each stands on its
// surface with a contrast of at least 4.5.
std::string_view page_style() {
  return R"css(
:root {
  color-scheme: light dark;
  --page: #f6f6f3; --surface: #ffffff; --raised: #f1f1ec; --line: #dcdcd5; --grid: #e8e8e2;
  --ink: #16191d; --soft: #545b66; --accent: #2257c5; --mark: #fff0c2; --mark-ink: #6b4300;
  --c0: #56606e; --c1: #2257c5; --c2: #0b7a67; --c3: #a65a00; --c4: #c0264b; --c5: #7143bd;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #111417; --surface: #191d22; --raised: #22272e; --line: #343b44; --grid: #2a3038;
    --ink: #e9ecef; --soft: #a5afbb; --accent: #7fb0ff; --mark: #4a3a10; --mark-ink: #ffd989;
    --c0: #aeb8c5; --c1: #7fb0ff; --c2: #4fcbb1; --c3: #f2ae55; --c4: #ff859b; --c5: #c2a5ff;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink); overflow-wrap: break-word;
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
}
main, header, footer { max-width: 1200px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 56px; }
section { margin-top: 72px; scroll-margin-top: 16px; }
h1 { font-size: clamp(1.75rem, 1.1rem + 2.9vw, 3rem); line-height: 1.14; letter-spacing: -0.022em;
  font-weight: 720; margin: 12px 0 18px; max-width: 24em; text-wrap: balance; }
h2 { font-size: 1.45rem; line-height: 1.25; letter-spacing: -0.012em; margin: 0 0 8px; text-wrap: balance; }
h3 { font-size: 1rem; line-height: 1.35; margin: 0 0 4px; }
p { margin: 0 0 14px; max-width: 44em; }
a { color: var(--accent); }
code, pre, .mono { font-family: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "Liberation Mono", monospace; }
code { font-size: 0.9em; background: var(--raised); padding: 0.1em 0.35em; border-radius: 4px; }
pre { margin: 0; padding: 14px 16px; background: var(--raised); border-radius: 8px; overflow-x: auto; font-size: 0.86rem; }
pre code { background: none; padding: 0; font-size: inherit; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.over { max-width: none; color: var(--soft); font-size: 0.9rem; margin: 0; }
.lede { font-size: 1.14rem; line-height: 1.6; color: var(--soft); max-width: 46em; }
.lede strong, .soft strong { color: var(--ink); font-weight: 620; }
.soft, figcaption, .note { color: var(--soft); }
.note, figcaption { font-size: 0.88rem; line-height: 1.5; }
.good { color: var(--c2); } .fair { color: var(--c1); } .poor { color: var(--c3); } .bad { color: var(--c4); }
.unknown { color: var(--soft); }
nav { margin-top: 26px; font-size: 0.9rem; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0; padding: 0; }
nav a { color: var(--soft); text-decoration: none; border-bottom: 1px solid var(--line); }
nav a:hover { color: var(--ink); border-color: currentColor; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 14px; margin: 30px 0 0; padding: 0; }
.tile { background: var(--surface); border: 1px solid var(--line); border-radius: 12px; padding: 16px 18px 15px; }
.tile dt { font-size: 0.86rem; color: var(--soft); }
.tile dd { margin: 0; }
.tile .value { font-size: 1.85rem; line-height: 1.25; font-weight: 680; letter-spacing: -0.02em; font-variant-numeric: tabular-nums; }
.tile .detail { font-size: 0.84rem; line-height: 1.45; color: var(--soft); }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 18px; margin-top: 18px; align-items: start; }
.grid.three { grid-template-columns: repeat(auto-fit, minmax(min(100%, 310px), 1fr)); }
figure { margin: 0; background: var(--surface); border: 1px solid var(--line); border-radius: 12px; padding: 16px 18px; min-width: 0; }
figure .scheme { margin-top: 20px; } figure h3 + .scheme { margin-top: 0; }
figure h3 + svg, figure .legend + svg { margin-top: 8px; }
figcaption { margin-top: 10px; }
.text { padding: 6px 0 0 10px; }
figure svg + svg { margin-top: 18px; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif; fill: var(--soft); font-variant-numeric: tabular-nums; }
svg .label { fill: var(--ink); }
svg .strong { font-weight: 640; fill: var(--ink); }
svg .halo { paint-order: stroke; stroke: var(--surface); stroke-width: 4px; stroke-linejoin: round; }
svg .grid-line { stroke: var(--grid); stroke-width: 1; }
svg .leader { stroke: var(--soft); stroke-width: 1; }
svg .axis { stroke: var(--line); stroke-width: 1; }
svg .gap { fill: var(--surface); }
svg .track { fill: var(--raised); }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); } .c4 { --c: var(--c4); } .c5 { --c: var(--c5); }
svg .fill { fill: var(--c); } svg .tint { fill: var(--c); opacity: 0.2; } svg .pale { fill: var(--c); opacity: 0.42; }
svg .stroke { stroke: var(--c); fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
svg .whisker { stroke: var(--ink); stroke-width: 1.25; }
svg .thin { stroke: var(--c); fill: none; stroke-width: 1.25; stroke-linejoin: round; }
svg .dash { stroke: var(--c); fill: none; stroke-width: 1.5; stroke-dasharray: 5 4; }
svg .dashed { stroke-dasharray: 7 4; } svg .dotted { stroke-dasharray: 1 5; }
svg .ring { stroke: var(--surface); stroke-width: 2; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 2px 0 0; padding: 0; list-style: none; font-size: 0.84rem; color: var(--soft); }
.key, .dot { display: inline-block; background: var(--c); margin-right: 7px; }
.key { width: 14px; height: 10px; border-radius: 2px; vertical-align: -0.02em; }
.key.tinted { opacity: 0.42; } .key.thin-key { height: 3px; vertical-align: 0.22em; }
.dot { width: 9px; height: 9px; border-radius: 50%; vertical-align: 0.05em; flex: none; }
.scroll { overflow-x: auto; background: var(--surface); border: 1px solid var(--line); border-radius: 12px; margin-top: 18px; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: 0.88rem; line-height: 1.45; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 12px 16px 6px; color: var(--soft); font-size: 0.88rem; position: sticky; left: 0; }
th, td { padding: 8px 12px; text-align: right; white-space: nowrap; border-top: 1px solid var(--grid); }
thead th { font-weight: 560; color: var(--soft); font-size: 0.82rem; border-top: 0; vertical-align: bottom; }
thead th[title] { text-decoration: underline dotted var(--line); text-underline-offset: 4px; cursor: help; }
thead tr.groups th { font-size: 0.78rem; text-align: left; padding-bottom: 0; color: var(--ink); }
thead td { border-top: 0; }
tbody tr:first-child th, tbody tr:first-child td { border-top-color: var(--line); }
tbody tr:hover > * { background: var(--raised); }
th:first-child { text-align: left; position: sticky; left: 0; z-index: 1; background: var(--surface); font-weight: 600; padding-left: 16px; }
td:last-child, thead th:last-child { padding-right: 16px; }
td.left, thead th.left { text-align: left; }
.group-start { border-left: 1px solid var(--grid); }
.se { color: var(--soft); font-size: 0.92em; }
table.stacked .se { display: block; font-size: 0.88em; line-height: 1.2; }
table.stacked th, table.stacked td { padding-left: 7px; padding-right: 7px; }
table.stacked th:first-child { padding-left: 16px; white-space: normal; min-width: 8em; }
table.stacked thead th { white-space: normal; }
.kernel { display: inline-block; white-space: normal; min-width: 5em; max-width: 8.5em; font-size: 0.9em; line-height: 1.3; }
.chip { font-size: 0.92em; white-space: nowrap; } .chip .dot { background: currentColor; }
table.samples { width: auto; min-width: 100%; }
table.samples td, table.samples thead th { text-align: left; }
table.samples td { max-width: 30em; white-space: pre-wrap; unicode-bidi: isolate; min-width: 7.5em; }
table.samples.long td { min-width: 20em; vertical-align: top; }
table.samples th:first-child { font-weight: 400; color: var(--soft); }
.whole { white-space: nowrap; }
ul.verdicts { list-style: none; margin: 0; padding: 0; }
ul.verdicts li { padding: 7px 0; border-top: 1px solid var(--grid); } ul.verdicts li:first-child { border-top: 0; }
p.written { font-size: 0.9rem; white-space: pre-wrap; unicode-bidi: isolate; max-width: none; margin: 4px 0 0; }
figure + figure { margin-top: 14px; }
td.same { color: var(--soft); } td.same .tick { font-size: 0.8em; margin-left: 0.4em; }
mark { background: var(--mark); color: var(--mark-ink); border-radius: 3px; padding: 0.06em 0.14em; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: 6px 24px; margin: 16px 0; }
dl.facts dt { color: var(--soft); } dl.facts dd { margin: 0; min-width: 0; }
details { border-top: 1px solid var(--line); } details:last-of-type { border-bottom: 1px solid var(--line); }
summary { cursor: pointer; padding: 11px 2px; font-weight: 580; }
details > p { padding: 0 2px 4px 20px; }
.more { margin-top: 18px; } .more > summary { color: var(--soft); }
.empty { color: var(--soft); font-style: italic; margin: 8px 0; }
footer { margin-top: 80px; padding-top: 20px; padding-bottom: 56px; color: var(--soft); font-size: 0.88rem; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (max-width: 640px) {
  main, header, footer { padding-left: 16px; padding-right: 16px; }
  header { padding-top: 32px; } section { margin-top: 52px; }
  .tiles { grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; }
  .tile { padding: 12px 14px; } .tile .value { font-size: 1.5rem; }
  figure { padding: 14px 12px; } .text { padding-left: 0; }
  svg.narrow text { font-size: 13px; }
  th, td { padding: 8px 10px; } th:first-child { padding-left: 12px; white-space: normal; }
  table:not(.samples) th:first-child { min-width: 8.5em; max-width: 10em; }
  caption { padding-left: 12px; max-width: calc(100vw - 34px); }
  dl.facts { grid-template-columns: 1fr; gap: 0; } dl.facts dd { margin-bottom: 10px; }
}
@media (max-width: 520px) {
  svg.wide text { font-size: 17px; }
}
@media print {
  body { background: none; } section, figure, .tile { break-inside: avoid; } nav { display: none; }
}
)css";
}

}  // namespace nibble
