"""vigil's models in `transformers` (extra `hf`): importing this is enough for its Auto classes and pipelines.

    import vigil.hf
    from transformers import AutoModelForImageTextToText, AutoProcessor

No code is loaded from any folder. What works how, and with which versions, is in docs/hf.md.
"""

try:
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer
except ImportError as error:
    raise ImportError("vigil.hf needs transformers. Run pip install 'vigil-video[hf]'.") from error

from vigil.hf.config import ReleasedConfig
from vigil.hf.config import VigilConfig as VigilConfig
from vigil.hf.model import VigilForImageTextToText as VigilForImageTextToText
from vigil.hf.processor import VigilProcessor as VigilProcessor
from vigil.hf.processor import VigilTokenizer as VigilTokenizer

__all__ = ["VigilConfig", "VigilForImageTextToText", "VigilProcessor", "VigilTokenizer"]

for _config in (VigilConfig, ReleasedConfig):
    AutoConfig.register(_config.model_type, _config)
AutoModelForImageTextToText.register(VigilConfig, VigilForImageTextToText)
AutoTokenizer.register(VigilConfig, fast_tokenizer_class=VigilTokenizer)
AutoProcessor.register(VigilConfig, VigilProcessor)
