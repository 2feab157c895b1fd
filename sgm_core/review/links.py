"""Where others say more about a gene. A person opens these pages; nothing is asked of them from here."""

from urllib.parse import quote

_LINKS = {
    "NCBI Gene": "https://www.ncbi.nlm.nih.gov/gene/?term={}%5Bsym%5D+AND+human%5Borgn%5D",
    "UniProt": "https://www.uniprot.org/uniprotkb?query=gene_exact:{}+AND+organism_id:9606+AND+reviewed:true",
    "GeneCards": "https://www.genecards.org/cgi-bin/carddisp.pl?gene={}",
    "Open Targets": "https://platform.opentargets.org/search?q={}&page=1",
    "DepMap": "https://depmap.org/portal/gene/{}",
}


def links(gene: str) -> dict[str, str]:
    """Return the address of each source's page or search for a human gene symbol."""
    return {name: address.format(quote(gene, safe="")) for name, address in _LINKS.items()}
