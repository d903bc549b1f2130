"""How the pages look: one accent, system fonts, light and dark, screen and paper."""

from __future__ import annotations

from typing import Final

LIGHT: Final = {
    "paper": "#ffffff",
    "panel": "#f5f7f9",
    "ink": "#1a2027",
    "quiet": "#56616d",
    "rule": "#d5dbe1",
    "edge": "#7d8893",
    "accent": "#0b62a8",
    "wash": "#d9e9f7",
    "alarm": "#a3261d",
}
DARK: Final = {
    "paper": "#14181c",
    "panel": "#1c2228",
    "ink": "#e4e8ec",
    "quiet": "#a3adb8",
    "rule": "#323b44",
    "edge": "#76828e",
    "accent": "#6cb4f5",
    "wash": "#1e3a54",
    "alarm": "#ff9a90",
}
"""Colors by role. `ink`, `quiet`, `accent` and `alarm` are text on `paper`, `panel` and `wash`; `edge` draws what has to be
seen; `rule` only decorates. A test holds them to the contrasts of WCAG 2.2 AA (1.4.3, 1.4.11)."""

_RULES: Final = """
*, *::before, *::after { box-sizing: border-box }
html { color-scheme: light dark; -webkit-text-size-adjust: 100%; text-size-adjust: 100% }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
  overflow-wrap: break-word }
body > * { max-width: 62rem; margin-inline: auto; padding-inline: clamp(1rem, 4vw, 2.5rem) }
a { color: var(--accent); text-underline-offset: .15em }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
.skip { position: absolute; left: -999rem }
.skip:focus { position: static }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; font-size: .875em; overflow-wrap: anywhere }

header { padding-block: 3rem 0 }
h1 { margin: 0; font-size: 1rem; font-weight: 600 }
h1 + p { margin: 0; color: var(--quiet); font-size: .9375rem }
h2 { margin: 0 0 .75rem; font-size: 1.5rem; line-height: 1.25; font-weight: 600; letter-spacing: -.01em; text-wrap: balance }
h3 { margin: 2.5rem 0 .5rem; font-size: 1.0625rem; line-height: 1.35; font-weight: 600 }
p, ul, ol { max-width: 44rem; margin: 0 0 1rem }
ul, ol { padding-left: 1.25rem }
li + li { margin-top: .25rem }
.lead { margin: 2rem 0 1rem; max-width: 46rem; font-size: clamp(1.5rem, 1rem + 2.4vw, 2.25rem); line-height: 1.22; font-weight: 600;
  letter-spacing: -.015em; text-wrap: balance }
.quiet, figcaption, caption small { color: var(--quiet) }
.small { font-size: .875rem }

nav { margin-top: 2rem; font-size: .9375rem }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; max-width: none; margin: 0; padding: .75rem 0; list-style: none;
  border-block: 1px solid var(--rule) }
nav li + li { margin: 0 }
nav a { display: inline-block; padding-block: .125rem }
section { padding-top: 4rem }
footer { padding-block: 4rem 3rem; color: var(--quiet); font-size: .875rem }

.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1.5rem 2rem; margin: 2rem 0 }
.facts > div { border-top: 2px solid var(--accent); padding-top: .625rem }
.facts dt { color: var(--quiet); font-size: .875rem; line-height: 1.4 }
.facts dd { margin: 0; font-variant-numeric: tabular-nums; font-size: .875rem; line-height: 1.4; color: var(--quiet) }
.facts dd:nth-of-type(1) { color: var(--ink); font-size: 1.875rem; font-weight: 600; line-height: 1.3; letter-spacing: -.02em }
.pairs { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: .375rem 1.5rem; margin: 0 0 1rem; font-size: .9375rem }
.pairs dt { color: var(--quiet) }
.pairs dd { margin: 0; min-width: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums }
.panel { background: var(--panel); border-radius: .5rem; padding: 1.25rem 1.5rem; margin: 1.5rem 0 }
.panel > :first-child { margin-top: 0 }
.panel > :last-child { margin-bottom: 0 }

.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 2rem; margin: 1.5rem 0 }
.charts > .scroll { margin-top: 0 }
figure { margin: 0; min-width: 0 }
figure > svg { display: block; width: 100%; height: auto; max-width: 28rem }
figcaption { max-width: 28rem; margin-bottom: .5rem; font-size: .875rem; line-height: 1.45 }
figcaption strong { display: block; color: var(--ink); font-size: .9375rem }
svg text { fill: var(--quiet); font-size: 11px; font-variant-numeric: tabular-nums; font-family: inherit }
svg .name { fill: var(--ink) }
svg .halo { stroke: var(--paper); stroke-width: 4px; paint-order: stroke; stroke-linejoin: round }
svg .strong { fill: var(--ink); font-weight: 600 }
svg .grid { stroke: var(--rule); stroke-width: 1; fill: none }
svg .axis { stroke: var(--edge); stroke-width: 1; fill: none }
svg .line { stroke: var(--accent); stroke-width: 2; fill: none; stroke-linejoin: round }
svg .other { stroke: var(--quiet); stroke-width: 1.5; fill: none; stroke-dasharray: 5 3; stroke-linejoin: round }
svg .ideal { stroke: var(--edge); stroke-width: 1; fill: none; stroke-dasharray: 2 3 }
svg .limit { stroke: var(--alarm); stroke-width: 1.5; fill: none; stroke-dasharray: 6 3 }
svg .limit-name { fill: var(--alarm) }
svg .whisker { stroke: var(--accent); stroke-width: 1.5; fill: none }
svg .dot { fill: var(--accent); stroke: var(--paper); stroke-width: 1 }
svg .hollow { fill: var(--paper); stroke: var(--accent); stroke-width: 2 }
svg .mark { fill: var(--paper); stroke: var(--ink); stroke-width: 2 }
svg .band { fill: var(--wash); stroke: none }
svg .bar { fill: var(--accent) }
svg .pale { fill: var(--wash); stroke: var(--edge); stroke-width: .5 }

.scroll { overflow-x: auto; margin: 1.25rem 0 1.75rem }
table { border-collapse: collapse; font-size: .875rem; line-height: 1.4; font-variant-numeric: tabular-nums }
caption { text-align: left; padding-bottom: .5rem }
caption > * { display: block; max-width: min(44rem, calc(100vw - 2rem)) }
caption span { font-weight: 600; font-size: .9375rem }
caption small { font-size: .875rem }
th, td { padding: .375rem .875rem; text-align: left; vertical-align: baseline; border-bottom: 1px solid var(--rule) }
th:first-child, td:first-child { padding-left: 0 }
thead th { color: var(--quiet); font-weight: 500; vertical-align: bottom; border-bottom-color: var(--edge) }
tbody th { font-weight: 400; min-width: min(9rem, 40vw); max-width: 20rem; overflow-wrap: anywhere; position: sticky; left: 0;
  background: var(--paper) }
.number { text-align: right }
td.number, th.number[scope=row] { white-space: nowrap }
tr.chosen > th, tr.chosen > td { background: var(--wash); font-weight: 600 }
.matrix tbody td { min-width: 2.5rem; padding: .375rem .5rem; border: 1px solid var(--rule) }
.matrix thead .number { padding-inline: .5rem; max-width: 6rem; overflow-wrap: anywhere }
tbody th.number, .matrix tbody th { min-width: 0 }
.matrix tbody th { padding-right: 1rem }
.matrix td.right { font-weight: 600; box-shadow: inset 0 0 0 1px var(--edge) }
.matrix td.wrong { font-weight: 600; background: var(--wash) }
.matrix td.none { color: var(--quiet) }
.block { display: block }
.whole { white-space: nowrap }
.failed { color: var(--alarm); font-weight: 600 }

details { margin: 1rem 0 }
summary { cursor: pointer; color: var(--accent); padding-block: .25rem }
details .scroll.tall { max-height: 24rem; overflow-y: auto }
.slider label { display: block; font-weight: 600 }
button { font: inherit; font-size: .875rem; color: var(--accent); background: var(--paper); border: 1px solid var(--edge);
  border-radius: .375rem; padding: .25rem .75rem; cursor: pointer }
.slider p { margin-bottom: .75rem }
.slider input { width: 100%; margin: .75rem 0; height: 1.5rem; accent-color: var(--accent) }
.slider .facts { margin: 1rem 0; grid-template-columns: repeat(auto-fit, minmax(7rem, 1fr)); gap: 1rem 1.5rem }
[hidden] { display: none !important }

@media (max-width: 30rem) {
  .pairs { grid-template-columns: 1fr; gap: 0 }
  .pairs dd { margin-bottom: .625rem }
  .panel { padding: 1rem; }
  section { padding-top: 3rem }
  td:not(.number) { min-width: 7rem }
}
@media print {
  @page { size: A4; margin: 18mm 16mm }
  html { font-size: 10pt }
  body > * { max-width: none; padding-inline: 0 }
  header { padding-top: 0 }
  nav, .slider, .skip, details.screen { display: none }
  summary { color: inherit; list-style: none; font-weight: 600 }
  details:not([open])::details-content { content-visibility: visible; block-size: auto }
  section { padding-top: 2rem }
  h2, h3, h2 + p, h3 + p, figcaption { break-after: avoid }
  h2, h3, p, li, .charts, figure, .facts, table, tr, dd { break-inside: avoid }
  .charts { grid-template-columns: 1fr 1fr; gap: 1.25rem }
  thead { display: table-header-group }
  .scroll, details .scroll.tall { overflow: visible; max-height: none }
  table { font-size: 8pt; max-width: 100% }
  th, td { padding: .2rem .375rem }
  tbody th { min-width: 5.5rem; position: static }
  td code { font-size: 6.5pt }
  .pale, .band, .bar, .dot, td, th { print-color-adjust: exact; -webkit-print-color-adjust: exact }
}
"""


def css() -> str:
    """Return the style sheet. Paper is always light."""
    return (
        f":root {{ {_variables(LIGHT)} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}"
        f"{_RULES}"
    )


def _variables(palette: dict[str, str]) -> str:
    return " ".join(f"--{name}: {color};" for name, color in palette.items())
