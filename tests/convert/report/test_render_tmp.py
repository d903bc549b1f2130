import time
from pathlib import Path
from tamiz_convert.report import render_html, write_report


def test_all(cancer_evidence, digits_evidence, customers_evidence, made_evidence):
    for name, e in dict(
        cancer=cancer_evidence,
        digits=digits_evidence,
        churn=customers_evidence,
        big=made_evidence(20000, 100),
    ).items():
        t = time.time()
        Path(f"/tmp/r/{name}").mkdir(parents=True, exist_ok=True)
        p = write_report(e, Path(f"/tmp/r/{name}"))
        print(name, p.stat().st_size, (p.parent / "report.json").stat().st_size, time.time() - t)
