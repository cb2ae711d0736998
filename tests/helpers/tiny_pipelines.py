"""Whole tiny diffusers pipelines with random weights, saved in a folder: one asked for classes, one for texts."""

from pathlib import Path
from typing import Any

import torch


def diffusers() -> Any:
    from rpe2d_bench.sampling.pipeline_folder import diffusers as package

    return package()


def autoencoder() -> Any:
    package = diffusers()
    torch.manual_seed(1)
    return package.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        latent_channels=4,
        norm_num_groups=4,
    )


def awake(transformer: Any) -> Any:
    """Numbers everywhere: layers that start at zero would hide what positions do."""
    generator = torch.Generator().manual_seed(2)
    for parameter in transformer.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
    return transformer


def dit(folder: Path) -> Path:
    """Class-conditional; 4 px a token, trained on 16 px."""
    package = diffusers()
    transformer = package.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=8,
        num_layers=1,
        sample_size=8,
        norm_num_groups=1,
        num_embeds_ada_norm=1000,
    )
    package.DiTPipeline(awake(transformer), autoencoder(), package.DDIMScheduler()).save_pretrained(folder)
    return folder


def pixart(folder: Path) -> Path:
    """Asked for texts; needs transformers."""
    package = diffusers()
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    words = {word: number for number, word in enumerate(("<pad>", "</s>", "<unk>", "a", "red", "green", "cat"))}
    words_only = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    words_only.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words_only, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    torch.manual_seed(3)
    text = T5EncoderModel(T5Config(vocab_size=8, d_model=32, d_kv=8, d_ff=16, num_layers=1, num_heads=2))
    transformer = package.PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=8,
        num_layers=1,
        sample_size=8,
        norm_num_groups=1,
        cross_attention_dim=32,
        caption_channels=32,
        use_additional_conditions=False,
    )
    pipeline = package.PixArtAlphaPipeline(
        tokenizer, text, autoencoder(), awake(transformer), package.DPMSolverMultistepScheduler()
    )
    pipeline.save_pretrained(folder)
    return folder
