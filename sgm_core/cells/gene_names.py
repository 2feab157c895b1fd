"""What happens to names of genes on their way into a file: renamings, dates, prefixes, dots, case."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

Aliases = Mapping[str, tuple[str, ...]]

SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9.@_/-]*[A-Za-z][A-Za-z0-9.@_/-]*|[A-Z][A-Za-z0-9.@_/-]*")
ENSEMBL = re.compile(r"ENS[A-Z]*G\d{9,}(\.\d+)?")
_GENOME = re.compile(
    r"(GRCh3[78]|hg19|hg38|T2T|GRCm3[89]|mm9|mm10|mm39|Rnor6|human|mouse)[\w.]*?(-20\d\d-[A-Z])?[-_]+",
    re.IGNORECASE,
)
_COMPOUND = re.compile(rf"(?P<id>{ENSEMBL.pattern})[\s_|:;,/.-]+(?P<symbol>\S.*)")
_REVERSED = re.compile(rf"(?P<symbol>\S+?)[\s_|:;,/-]+(?P<id>{ENSEMBL.pattern})")
_MONTHS = {"mar": "MARCHF", "march": "MARCHF", "sep": "SEPTIN", "sept": "SEPTIN", "dec": "DELEC"}
_DATE = re.compile(
    r"(?P<n>\d{1,2})[-/ ]?(?P<month>Mar|Sep|Sept|Dec)|(?P<m2>Mar|Sep|Sept|Dec)[-/ ](?P<n2>\d{1,2})", re.I
)
_ISO = re.compile(r"(\d{4})-(?P<month>03|09|12)-(?P<n>\d{2})( 00:00:00)?")
_FAMILY = re.compile(r"(MARCH|SEPT)(\d{1,2})")
_LARGEST = {"MARCHF": 11, "SEPTIN": 14, "DELEC": 1}
# Genes that every sample of human blood has, and ids: names on one side of a table that match are genes.
FREQUENT = re.compile(
    r"MT-\w+|RP[LS]\d+\w*|RPLP[012]|ENSG\d{11}(\.\d+)?|ACTB|GAPDH|B2M|MALAT1|TMSB4X|EEF1A1|FTL|FTH1|CD74|"
    r"HLA-[A-E]|S100A\d+|LYZ|CD34|CD3[DEG]|HBB|HBA[12]|TUBA1[ABC]|VIM|PTPRC|UBC|FOS|JUN|MYC|TP53"
)
_MOUSE = re.compile(r"(mt-)?[A-Z][a-z0-9]*[a-z][a-z0-9]*([-.]\w+)?|\d+[A-Z]\d+Rik")

# Renamings by HGNC (https://www.genenames.org, CC0) that lists of blood genes still carry; a whole table can
# be registered with 'sgm resources add aliases'.
_RENAMED = """
MLL:KMT2A MLL2:KMT2D MLL3:KMT2C MLL5:KMT2E WHSC1:NSD2 WHSC1L1:NSD3 MKL1:MRTFA KIAA0101:PCLAF GPR56:ADGRG1
CD97:ADGRE5 EMR1:ADGRE1 EMR2:ADGRE2 LPHN1:ADGRL1 TMEM173:STING1 C10orf54:VSIR FAM46A:TENT5A FAM46C:TENT5C
PTRF:CAVIN1 SDPR:CAVIN2 GNB2L1:RACK1 TCEB1:ELOC TCEB2:ELOB ATP5A1:ATP5F1A ATP5B:ATP5F1B ATPIF1:ATP5IF1
H2AFZ:H2AZ1 H2AFY:MACROH2A1 H3F3A:H3-3A H3F3B:H3-3B FAM129A:NIBAN1 SEPP1:SELENOP CTGF:CCN2 CYR61:CCN1 NOV:CCN3
IL8:CXCL8 IGJ:JCHAIN FYB:FYB1 GARS:GARS1 WARS:WARS1 IARS:IARS1 MARS:MARS1 HRSP12:RIDA CECR1:ADA2 TMEM66:SARAF
KIAA1429:VIRMA
"""
FORMER: dict[str, tuple[str, ...]] = {
    old: (new,) for old, new in (pair.split(":") for pair in _RENAMED.split())
}
FORMER |= {f"SEPT{n}": (f"SEPTIN{n}",) for n in (*range(1, 13), 14)}
FORMER |= {f"MARCH{n}": (f"MARCHF{n}",) for n in range(1, 12)}


def date_symbols(name: str) -> tuple[str, ...]:
    """Return the genes that a spreadsheet may have turned into the date `name`: '9-Sep' was SEPTIN9.

    '1-Mar' and '2-Mar' were MARCHF or MTARC; both are returned. Empty where it is no such date.
    """
    found = _DATE.fullmatch(name)
    if found:
        month, number = found["month"] or found["m2"], int(found["n"] or found["n2"])
    elif iso := _ISO.fullmatch(name):
        month, number = {"03": "mar", "09": "sep", "12": "dec"}[iso["month"]], int(iso["n"])
    else:
        return ()
    family = _MONTHS[month.lower()]
    if not 1 <= number <= _LARGEST[family]:
        return ("SELENOF",) if (family, number) == ("SEPTIN", 15) else ()
    if family == "MARCHF" and number <= 2:
        return (f"MARCHF{number}", f"MTARC{number}")
    return (f"{family}{number}",)


def is_date(name: str) -> bool:
    """Whether a name looks like a date that a spreadsheet made of a symbol."""
    return bool(date_symbols(name))


def genome_prefix(name: str) -> str:
    """Return the prefix of a reference genome with its separator ('GRCh38_'), empty where there is none."""
    found = _GENOME.match(name)
    return found.group(0) if found and len(found.group(0)) < len(name) else ""


def split_compound(name: str) -> tuple[str, str] | None:
    """Split 'ENSG00000174059_CD34' (or '|', ':' ..., or the other way round) into (symbol, id)."""
    found = _COMPOUND.fullmatch(name) or _REVERSED.fullmatch(name)
    return (found["symbol"].strip(), found["id"]) if found else None


def without_suffix(name: str) -> str:
    """Return a name without the number that make-unique or a version put behind it ('TP53.1').

    One digit only: CAND1.11 is a gene beside CAND1.
    """
    return re.sub(r"\.[1-9]$", "", name)


def mouse_like(names: Iterable[str]) -> bool:
    """Whether most names are written as mouse genes are: Cd34, Rps6, mt-Co1."""
    named = [name for name in names if any(map(str.isalpha, name))]
    return sum(bool(_MOUSE.fullmatch(n)) and "orf" not in n for n in named) > 0.5 * len(named) > 0


def plain_forms(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Find what tools did to symbols where there is no list of genes to compare with.

    Dates that can mean one gene only; ``MT.CO1`` and ``HLA.A`` where no name has the hyphen; ``TP53.1``
    beside
    ``TP53``; names that are all in lower case.

    Returns
    -------
    found
        Name -> (symbol, how); others are absent.
    """
    there = set(names)
    found: dict[str, tuple[str, str]] = {}
    hyphens = {name.split("-", 1)[0] for name in there if "-" in name}
    letters = [name for name in there if any(map(str.isalpha, name))]
    lower = sum(name == name.lower() for name in letters) > 0.9 * len(letters) > 0
    for name in there:
        options = date_symbols(name)
        base = without_suffix(name)
        if len(options) == 1:
            found[name] = options[0], "date"
        elif (family := name.split(".", 1)[0]) in ("MT", "HLA") and family not in hyphens and "." in name:
            found[name] = name.replace(".", "-"), "dots for hyphens"
        elif base != name and base in there and "." not in base:
            found[name] = base, "suffix taken off"
        elif lower and name in letters:
            found[name] = re.sub(r"ORF(?=\d)", "orf", name.upper()), "case"
    return found


class Resolver:
    """Finds names among the genes that are known, through renamings and through what tools do to names.

    Parameters
    ----------
    known
        The genes that exist.
    aliases
        Former symbol -> approved symbols.
    case
        Whether other case may be meant: not where the names are those of another species.
    """

    def __init__(self, known: Collection[str], aliases: Aliases, case: bool = True):
        self.known = set(known)
        self.aliases = aliases
        self._case = case
        self._folded: dict[str, set[str]] = {}
        for gene in self.known:
            self._folded.setdefault(gene.lower(), set()).add(gene)
        # The known genes may use a symbol that has been renamed since.
        self._older: dict[str, set[str]] = {}
        for old, new in aliases.items():
            if len(new) == 1 and old in self.known and new[0] not in self.known:
                self._older.setdefault(new[0], set()).add(old)

    def __call__(self, name: str) -> tuple[str, str] | None:
        """Return (known gene, how it was found), None where there is none or more than one."""
        if name in self.known:
            return name, ""
        if found := self._renamed(name):
            return found, "alias"
        for gene in date_symbols(name):
            options = {g for g in date_symbols(name) if g in self.known or self._renamed(g)}
            if len(options) == 1 and gene in options:
                return (gene if gene in self.known else self._renamed(gene) or gene), "date"
        for how, form in self._forms(name):
            if form != name and (found := form if form in self.known else self._renamed(form)):
                return found, how
        if self._case and len(options := self._folded.get(name.lower(), set())) == 1:
            return next(iter(options)), "case"
        if self._case and name != name.upper() and (found := self._renamed(name.upper())):
            return found, "case"
        return None

    def _renamed(self, name: str) -> str | None:
        options = {gene for gene in self.aliases.get(name, ()) if gene in self.known}
        options = options or self._older.get(name, set())
        return next(iter(options)) if len(options) == 1 else None

    @staticmethod
    def _forms(name: str) -> Iterable[tuple[str, str]]:
        if compound := split_compound(name):
            yield "Ensembl id beside it", compound[0]
        if prefix := genome_prefix(name):
            yield "genome prefix taken off", name[len(prefix) :]
        if ENSEMBL.fullmatch(name):
            yield "version taken off", name.partition(".")[0]
        yield "suffix taken off", without_suffix(name)
        yield "dots for hyphens", name.replace(".", "-")
        yield "dots for hyphens", without_suffix(name).replace(".", "-")


def describe_mapped(mapped: Sequence[tuple[str, str, str]], shown: int = 5) -> list[str]:
    """Return a sentence for each way in which names were found; `mapped` holds (name, gene, how)."""
    said = []
    for how in dict.fromkeys(how for _, _, how in mapped):
        pairs = [f"{name} -> {gene}" for name, gene, by in mapped if by == how]
        more = f" and {len(pairs) - shown:,} more" if len(pairs) > shown else ""
        said.append(
            f"mapped by {how}: {', '.join(pairs[:shown])}{more}"
            if how in ("alias", "date", "case")
            else f"{how}: {', '.join(pairs[:shown])}{more}"
        )
    return said
