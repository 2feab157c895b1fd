"""The names of arms and baselines: as figures and tables write them, and inside a sentence."""

ARM_NAMES = {
    "self-guided": "Self-guided",
    "expression+summary": "Expression + summary",
    "inverse-expression+summary": "Inverse expression + summary",
    "programmes+summary": "Gene programmes + summary",
    "sma+summary": "SMA + summary",
    "adios+summary": "ADIOS + summary",
    "error-guided+summary": "Error-guided + summary",
    "uniform+summary": "Uniform + summary",
    "uniform": "Uniform",
    "original": "Original weights",
    "no-pretraining": "No pretraining",
    "pca-logistic": "PCA + logistic regression",
    "pca-knn": "PCA + kNN",
    "hvg-logistic": "Variable genes + logistic regression",
    "majority": "Majority class",
}


def arm_name(arm: str) -> str:
    """Return the arm's or baseline's name as figures and tables write it: in words for a new strategy too."""
    if arm in ARM_NAMES or not arm.endswith("+summary"):
        return ARM_NAMES.get(arm, arm)
    return f"{arm.removesuffix('+summary').replace('-', ' ').capitalize()} + summary"


def arm_in_sentence(arm: str) -> str:
    """Return the same name inside a sentence: ``uniform + summary``, ``PCA + kNN``."""
    name = arm_name(arm)
    return name if name[:2].isupper() else name[:1].lower() + name[1:]
