"""The released models whose weights can be imported: what each is called, where it is, what its owner allows.

Nothing of them is shipped: a person brings the files. Needs no torch, so that pages can say it.
"""

from typing import NamedTuple

from sgm_core.model.gene_list import WHERE


class Released(NamedTuple):
    """A released model.

    Parameters
    ----------
    title : its name
    where : where its files are, as the middle of a sentence
    command : what imports them
    licence : what their owner allows, in our own words
    purposes : its weight sets, and what each is good for
    size : of the released file, in words
    """

    title: str
    where: str
    command: str
    licence: str
    purposes: dict[str, str]
    size: str


ONE = "model"
"""The weight set of a model that has one."""
RELEASED: dict[str, Released] = {
    "transformer": Released(
        "scFoundation",
        WHERE,
        "sgm weights import models.ckpt --genes OS_scRNA_gene_index.19264.tsv --name scfoundation",
        "scFoundation's pretrained weights are not open source. Their owner allows non-commercial research "
        "only; they, and models finetuned from them, must not be passed on. This program's own licence does "
        "not cover them. Read the scFoundation licence at https://github.com/biomap-research/scFoundation "
        "before use.",
        {
            "cell": "cell embeddings",
            "gene": "finetuning, gene embeddings and expression",
            "rde": "cell embeddings across read depths",
        },
        "119 M parameters",
    ),
    "scgpt": Released(
        "scGPT",
        "download the folder of a pretrained model (best_model.pt, args.json, vocab.json) from the links of "
        "https://github.com/bowang-lab/scGPT",
        "sgm weights import scGPT_human/ --name scgpt",
        "No licence is stated for scGPT's pretrained weights; that of its code (MIT) does not speak of them. "
        "Don't pass on the weights, or models finetuned from them, before you have asked their authors. This "
        "program's own licence does not cover them; see https://github.com/bowang-lab/scGPT.",
        {ONE: "embeddings, pretraining and finetuning"},
        "51 M parameters",
    ),
    "scbert": Released(
        "scBERT",
        "download panglao_pretrain.pth, gene2vec_16906.npy and panglao_10000.h5ad, which has the order of "
        "the genes, as https://github.com/TencentAILabHealthcare/scBERT describes",
        "sgm weights import panglao_pretrain.pth --genes panglao_10000.h5ad --name scbert",
        "scBERT's code and pretrained weights are under the GNU General Public License, version 3; its "
        "README adds that they are for research and not approved for clinical use. Whoever passes on the "
        "weights, or models finetuned from them, must keep to that licence. This program's own licence does "
        "not cover them; see https://github.com/TencentAILabHealthcare/scBERT.",
        {ONE: "embeddings, pretraining and finetuning"},
        "5 M parameters",
    ),
}
"""By the kind of backbone that the weights are for."""
