import re

from sgm_core.resources.gmt import read_gene_sets, read_gmt
from sgm_core.resources.panel import data_file, read_panel

PAPER = (
    "GO:0006355",
    "GO:0006357",
    "GO:0045893",
    "GO:0045892",
    "GO:0000122",
    "GO:0042981",
    "GO:0042127",
)


def _by_id(terms):
    return {re.search(r"\((GO:\d{7})\)$", name).group(1): (name, set(genes)) for name, genes in terms.items()}


def test_subset_is_a_clean_gmt_with_the_terms_that_the_paper_names():
    sets = read_gene_sets(data_file("go_demo_subset.gmt"))
    terms = _by_id(sets.terms)
    assert len(terms) == len(sets.terms) >= 50
    assert sets.blank_lines == 0 and sets.merged == ()
    assert set(PAPER) <= set(terms)
    assert min(len(genes) for _, genes in terms.values()) >= 5


def test_members_are_genes_of_the_demo():
    members = {gene for genes in read_gmt(data_file("go_demo_subset.gmt")).values() for gene in genes}
    assert members <= set(read_panel().genes)
    assert len(members) >= 300


def test_each_id_name_and_membership_is_in_the_full_library(shared):
    full = _by_id(read_gmt(shared / "data" / "genesets" / "enrichr.GO_Biological_Process_2021.gmt"))
    for term, (name, genes) in _by_id(read_gmt(data_file("go_demo_subset.gmt"))).items():
        assert name == full[term][0]
        assert genes <= full[term][1], term
