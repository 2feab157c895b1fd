"""PyDESeq2 on sums of donors: fold changes and their tests."""

import warnings

import numpy as np
import pandas as pd

from sgm_core.analysis.pseudobulk import Sums, countable
from sgm_core.device import thread_count
from sgm_core.errors import InputError
from sgm_core.progress import Observer

_STEPS = (
    ("fit_size_factors", "size factors"),
    ("fit_genewise_dispersions", "dispersions of genes"),
    ("fit_dispersion_trend", "trend of the dispersions"),
    ("fit_dispersion_prior", "prior of the dispersions"),
    ("fit_MAP_dispersions", "shrunken dispersions"),
    ("fit_LFC", "fold changes"),
    ("calculate_cooks", "outlying donors"),
    ("refit", "outlying donors"),
)
_MOST_PROCESSES = 8


def donor_test(sums: Sums, genes: np.ndarray, paired: bool, observer: Observer | None = None) -> pd.DataFrame:
    """Test every gene between the sides, donors being the samples (DESeq2 by PyDESeq2, its defaults).

    Negative binomial model ~ side, or ~ donor + side where paired; Wald test of the side; false discovery
    rate of 5 % with independent filtering and Cook's distance (Love, Huber and Anders 2014,
    doi:10.1186/s13059-014-0550-8; Muzellec et al. 2023, doi:10.1093/bioinformatics/btad547).

    Parameters
    ----------
    sums
        From `sgm_core.analysis.pseudobulk.pseudobulk`.
    genes
        Symbols (genes,).
    paired
        Whether each donor has a sample on both sides.
    observer
        Told how far it is; asked between steps whether to stop.

    Returns
    -------
    DataFrame
        One row a gene with a count: gene, base_mean (counts of a sample of average depth), log2_fold_change
        (a over b), standard_error, statistic, p_value, q_value (Benjamini-Hochberg), remark (why there is no
        p or q). NaN where undefined.

    Raises
    ------
    InputError
        If no gene has counts enough.
    """
    observer = observer or Observer()
    there = sums.counts.sum(axis=0) > 0
    side = sums.samples["side"].to_numpy()
    n_smaller = int(min((side == "a").sum(), (side == "b").sum()))
    tested = countable(sums.counts, n_smaller)
    if not tested.any():
        raise InputError("no gene has counts enough in these donors: take larger groups of cells")
    table = pd.DataFrame({"gene": genes[there]})
    result = _deseq(sums, genes, tested, paired, observer)
    table = table.join(result, on="gene")
    table["remark"] = np.select(
        [~table["gene"].isin(genes[tested]), table["p_value"].isna(), table["q_value"].isna()],
        ["too few counts to test", "no p: one donor stands out", "no adjusted p: mean too low"],
        "",
    )
    return table


def _deseq(
    sums: Sums, genes: np.ndarray, tested: np.ndarray, paired: bool, observer: Observer
) -> pd.DataFrame:
    from pydeseq2.dds import DeseqDataSet
    from pydeseq2.default_inference import DefaultInference
    from pydeseq2.ds import DeseqStats

    names = [f"s{number}" for number in range(len(sums.samples))]
    counts = pd.DataFrame(np.rint(sums.counts[:, tested]).astype(np.int64), names, genes[tested])
    donor, _ = pd.factorize(sums.samples["donor"])
    meta = pd.DataFrame(
        {"side": sums.samples["side"].to_numpy(), "donor": [f"d{number}" for number in donor]}, names
    )
    inference = DefaultInference(n_cpus=min(_MOST_PROCESSES, thread_count()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = DeseqDataSet(
            counts=counts, metadata=meta, design="~donor + side" if paired else "~side",
            inference=inference, quiet=True,
        )  # fmt: skip
        for done, (step, what) in enumerate(_STEPS):
            observer.check()
            observer.progress(done, len(_STEPS), what)
            getattr(model, step)()
        model.cooks_outlier()
        observer.check()
        test = DeseqStats(model, contrast=["side", "a", "b"], alpha=0.05, inference=inference, quiet=True)
        test.summary()
    observer.progress(len(_STEPS), len(_STEPS), "fold changes")
    names_of = {
        "baseMean": "base_mean", "log2FoldChange": "log2_fold_change", "lfcSE": "standard_error",
        "stat": "statistic", "pvalue": "p_value", "padj": "q_value",
    }  # fmt: skip
    return test.results_df.rename(columns=names_of)[list(names_of.values())]
