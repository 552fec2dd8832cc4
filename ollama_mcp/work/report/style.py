"""The style sheet of a report: light and dark, narrow and wide, on paper."""

# Colours after Okabe and Ito, which differ for the colour-blind too; lighter ones on dark ground.
STYLE = """
:root{color-scheme:light dark;--ground:#fff;--text:#1c2128;--soft:#57606a;--line:#d8dee4;--panel:#f6f8fa;
--c0:#0068b5;--c1:#c05600;--c2:#00805c;--c3:#a8407e;--c4:#8a6d00;--c5:#6e7781;--on:#fff}
@media (prefers-color-scheme:dark){:root{--ground:#10141a;--text:#e6e9ed;--soft:#9ea7b3;--line:#333b46;--panel:#181e26;
--c0:#5cb2f2;--c1:#f0944d;--c2:#3fc79a;--c3:#e58cc0;--c4:#e0c04a;--c5:#8b949e;--on:#0b0e12}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"DejaVu Sans",sans-serif;overflow-wrap:anywhere}
main{max-width:1100px;margin:0 auto;padding:24px 16px 48px}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 8px}
h2{font-size:1.15rem;margin:32px 0 8px;padding-top:16px;border-top:1px solid var(--line)}
.lead{font-size:1.1rem;margin:0}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(128px,1fr));gap:8px;margin:20px 0 0}
.figures div{background:var(--panel);border:1px solid var(--line);border-radius:6px;padding:8px 12px}
dt{color:var(--soft);font-size:.85rem}
dd{margin:0;font-size:1.25rem;font-weight:600;font-variant-numeric:tabular-nums}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(300px,100%),1fr));gap:24px}
figure{margin:0;max-width:480px;break-inside:avoid}
figcaption{color:var(--soft);font-size:.9rem;margin:8px 0}
.chart{display:block;width:100%;height:auto}
.chart text{font-size:12px;fill:var(--text)}
.chart .axis{fill:var(--soft)}
.grid{stroke:var(--line)}
.mark{stroke-dasharray:4 3;stroke-width:1.5}
.whisker{stroke-width:2}
.curve{fill:none;stroke-width:2;stroke-linejoin:round}
.soft{fill-opacity:.75}
.s0{fill:var(--c0)}.s1{fill:var(--c1)}.s2{fill:var(--c2)}.s3{fill:var(--c3)}.s4{fill:var(--c4)}.s5{fill:var(--c5)}
.l0{stroke:var(--c0)}.l1{stroke:var(--c1)}.l2{stroke:var(--c2)}.l3{stroke:var(--c3)}.l4{stroke:var(--c4)}
.l5{stroke:var(--c5)}
.chart .t0{fill:var(--c0)}.chart .t1{fill:var(--c1)}.chart .t2{fill:var(--c2)}.chart .t3{fill:var(--c3)}
.chart .t4{fill:var(--c4)}.chart .t5{fill:var(--c5)}.chart .on{fill:var(--on)}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.92rem;margin-top:8px}
th,td{text-align:left;vertical-align:top;padding:5px 14px 5px 0;border-bottom:1px solid var(--line);max-width:36rem;
overflow-wrap:break-word}
th{color:var(--soft);font-weight:600;white-space:nowrap}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
details{border:1px solid var(--line);border-radius:6px;margin:8px 0;padding:6px 12px}
summary{cursor:pointer}
pre{white-space:pre-wrap;font:.9rem/1.45 ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;margin:8px 0}
footer{color:var(--soft);font-size:.85rem;margin-top:32px}
@media print{:root{color-scheme:light;--ground:#fff;--text:#000;--soft:#444;--line:#bbb;--panel:#fff;--c0:#0068b5;
--c1:#c05600;--c2:#00805c;--c3:#a8407e;--c4:#8a6d00;--c5:#6e7781;--on:#fff}
main{max-width:none;padding:0}section{break-inside:avoid-page}.wide{overflow:visible}
details::details-content{content-visibility:visible;block-size:auto}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
