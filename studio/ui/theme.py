"""The window's look: colors, type, and the few lines of script the page needs.

One calm palette for light and one for dark, system fonts only (the page must
load without a network), style sheets from assets/css and line icons from
assets/icons, which become CSS variables so that no file has to be served.
This module knows nothing of tabs or services.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import gradio as gr
from gradio.themes.utils.colors import Color

ASSETS = Path(__file__).resolve().parents[2] / "assets"
ColorScheme = Literal["system", "light", "dark"]

_VERDIGRIS = Color(
    "#eef6f4", "#dcedea", "#bcdcd6", "#93c6bd", "#5fb3a5", "#35897b", "#1f6f63", "#1a5c52", "#164a43", "#123b36",
    "#0a2420", name="verdigris",
)  # fmt: skip
_STONE = Color(
    "#faf9f7", "#f4f3f0", "#e6e3dd", "#d3cfc7", "#a09d96", "#73716b", "#56544f", "#3a3b3d", "#232628", "#191b1d",
    "#101113", name="stone",
)  # fmt: skip
_SANS = ("Inter", "ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
_MONO = ("ui-monospace", "SF Mono", "Cascadia Mono", "Consolas", "DejaVu Sans Mono", "monospace")


def build() -> gr.themes.Base:
    """Return the theme; its fonts are names of installed fonts, nothing is fetched."""
    theme = gr.themes.Base(
        primary_hue=_VERDIGRIS,
        secondary_hue=_VERDIGRIS,
        neutral_hue=_STONE,
        radius_size=gr.themes.sizes.radius_md,
        spacing_size=gr.themes.sizes.spacing_md,
        text_size=gr.themes.sizes.text_md,
        font=_SANS,
        font_mono=_MONO,
    )
    return theme.set(
        body_background_fill="#f4f3f0",
        body_background_fill_dark="#121314",
        body_text_color="#1d1e20",
        body_text_color_dark="#ecebe7",
        body_text_color_subdued="#63615b",
        body_text_color_subdued_dark="#a5a39d",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#1a1c1e",
        background_fill_secondary="#f8f7f4",
        background_fill_secondary_dark="#202326",
        border_color_primary="#e0dcd5",
        border_color_primary_dark="#303438",
        border_color_accent="*primary_500",
        border_color_accent_dark="*primary_400",
        color_accent="*primary_600",
        color_accent_soft="*primary_50",
        color_accent_soft_dark="#1d322e",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_border_width_dark="0px",
        block_padding="0px",
        block_shadow="none",
        block_shadow_dark="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_border_width_dark="0px",
        block_label_text_color="*body_text_color_subdued",
        block_label_text_color_dark="*body_text_color_subdued",
        block_label_text_weight="500",
        block_label_padding="4px 8px",
        block_title_background_fill="transparent",
        block_title_border_width="0px",
        block_title_padding="0px",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_title_text_weight="560",
        block_title_text_size="13px",
        block_info_text_color="*body_text_color_subdued",
        block_info_text_color_dark="*body_text_color_subdued",
        block_info_text_size="12px",
        section_header_text_weight="560",
        layout_gap="16px",
        form_gap_width="0px",
        panel_border_width="0px",
        input_background_fill="#ffffff",
        input_background_fill_dark="#141617",
        input_background_fill_focus="#ffffff",
        input_background_fill_focus_dark="#141617",
        input_border_color="#d3cec5",
        input_border_color_dark="#3a3f43",
        input_border_color_focus="*primary_500",
        input_border_color_focus_dark="*primary_400",
        input_border_width="1px",
        input_shadow="none",
        input_shadow_focus="none",
        input_shadow_focus_dark="none",
        input_padding="8px 10px",
        input_radius="8px",
        input_text_size="14px",
        input_placeholder_color="#76736c",
        input_placeholder_color_dark="#85837d",
        slider_color="*primary_500",
        slider_color_dark="*primary_400",
        checkbox_background_color_selected="*primary_600",
        checkbox_background_color_selected_dark="*primary_500",
        checkbox_border_color_selected="*primary_600",
        checkbox_border_color_selected_dark="*primary_500",
        checkbox_border_color_focus="*primary_500",
        checkbox_border_color_focus_dark="*primary_400",
        checkbox_label_background_fill="transparent",
        checkbox_label_background_fill_dark="transparent",
        checkbox_label_background_fill_hover="*background_fill_secondary",
        checkbox_label_background_fill_hover_dark="*background_fill_secondary",
        checkbox_label_background_fill_selected="*color_accent_soft",
        checkbox_label_background_fill_selected_dark="*color_accent_soft",
        checkbox_label_border_width="1px",
        checkbox_label_padding="6px 12px",
        checkbox_label_shadow="none",
        checkbox_label_text_color_selected="*body_text_color",
        checkbox_label_text_size="13px",
        button_large_padding="9px 16px",
        button_large_radius="8px",
        button_large_text_size="14px",
        button_large_text_weight="560",
        button_medium_radius="8px",
        button_small_padding="5px 11px",
        button_small_radius="7px",
        button_small_text_size="13px",
        button_small_text_weight="520",
        button_transform_hover="none",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_400",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_300",
        button_primary_border_color="*primary_600",
        button_primary_border_color_dark="*primary_400",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#0a2420",
        button_primary_shadow="none",
        button_primary_shadow_hover="none",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_dark="#25282b",
        button_secondary_background_fill_hover="#f1efeb",
        button_secondary_background_fill_hover_dark="#2e3236",
        button_secondary_border_color="#d3cec5",
        button_secondary_border_color_dark="#3a3f43",
        button_secondary_text_color="*body_text_color",
        button_secondary_text_color_dark="*body_text_color",
        button_secondary_shadow="none",
        button_secondary_shadow_hover="none",
        button_cancel_background_fill="#fbeeec",
        button_cancel_background_fill_dark="#3a2220",
        button_cancel_background_fill_hover="#f5dedb",
        button_cancel_background_fill_hover_dark="#4a2a27",
        button_cancel_border_color="#e7bcb6",
        button_cancel_border_color_dark="#5f3833",
        button_cancel_text_color="#97281c",
        button_cancel_text_color_dark="#f3a298",
        button_cancel_shadow="none",
        button_border_width="1px",
        button_border_width_dark="1px",
        error_background_fill="#fbeeec",
        error_background_fill_dark="#2d1d1b",
        error_border_color="#e7bcb6",
        error_border_color_dark="#5f3833",
        error_text_color="#97281c",
        error_text_color_dark="#f3a298",
        loader_color="*primary_500",
        stat_background_fill="*primary_300",
        link_text_color="*primary_600",
        link_text_color_dark="*primary_400",
        shadow_drop="none",
        shadow_drop_lg="0 12px 32px rgba(20, 18, 14, .16)",
    )


def css_paths() -> list[Path]:
    """Return the style sheets in the order of their names."""
    return sorted((ASSETS / "css").glob("*.css"))


def icon_css() -> str:
    """Return assets/icons/*.svg as CSS variables named --icon-<file name>."""
    rows = []
    for path in sorted((ASSETS / "icons").glob("*.svg")):
        data = quote(" ".join(path.read_text(encoding="utf-8").split()), safe=" =:/'")
        rows.append(f'--icon-{path.stem}: url("data:image/svg+xml,{data}");')
    return ":root {\n" + "\n".join(rows) + "\n}"


TOASTS = "@media (min-width: 768px) { .toast-wrap { top: auto !important; bottom: 20px !important; } }"
"""At the top they would cover the tabs. They stand outside of what Gradio's own style option reaches."""
ROW_OF_PAGES = ".nav-holder { display: none !important; }"
"""Gradio puts a row of links above every page as soon as there are two; the one for programs needs none."""


def head(scheme: ColorScheme = "system") -> str:
    """Return the page's own script: colors before the first paint, keys for sliders, focus in lists.

    Args:
        scheme: what holds until the person chooses in the Settings tab.
    """
    script = (ASSETS / "window.js").read_text(encoding="utf-8")
    return (
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<style>{TOASTS} {ROW_OF_PAGES}</style>"
        f"<script>window.studioScheme = {json.dumps(scheme)};\n{script}</script>"
    )
