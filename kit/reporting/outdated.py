"""The warning that the fitted ensemble is not of what is there now."""

from kit.prediction.ensembles import Ensemble
from kit.reporting.blocks import Text


def outdated(ensemble: Ensemble) -> Text:
    """That it was fitted to other weights or pairs, and how to fit it again."""
    text = f"{ensemble.name} was fitted to other weights or pairs than those of now."
    return Text(text, ensemble.again(), is_warning=True)
