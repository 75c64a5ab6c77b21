#include "nibble/text/chat_formats.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "nibble/core/error.h"

namespace nibble {
namespace {

// What a format sets for the body that it shares with others of its kind.
struct FormatRow {
  std::string_view name, head, body;
};

constexpr std::string_view kImBody = R"({{- first_token if first_token is defined -}}
{%- if default_system is defined and messages[0].role != 'system' -%}
  {{- '<|im_start|>system\n' + default_system + '<|im_end|>\n' -}}
{%- endif -%}
{%- for m in messages -%}
  {{- '<|im_start|>' + m.role + '\n' -}}
  {%- if m.role == 'assistant' -%}
    {%- generation -%}{{- m.content + '<|im_end|>' -}}{%- endgeneration -%}{{- '\n' -}}
  {%- else -%}
    {{- m.content + '<|im_end|>\n' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|im_start|>assistant\n' + (answer_begin if answer_begin is defined else '') -}}
{%- endif -%})";

constexpr std::string_view kLlama3Body = R"({{- bos_token -}}
{%- if default_system is defined -%}
  {%- set text = default_system -%}
  {%- if messages[0].role == 'system' -%}
    {%- set text = text + messages[0].content|trim -%}
    {%- set messages = messages[1:] -%}
  {%- endif -%}
  {{- '<|start_header_id|>system<|end_header_id|>\n\n' + text + '<|eot_id|>' -}}
{%- endif -%}
{%- for m in messages -%}
  {{- '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' -}}
  {%- if m.role == 'assistant' -%}
    {%- generation -%}{{- m.content|trim + '<|eot_id|>' -}}{%- endgeneration -%}
  {%- else -%}
    {{- m.content|trim + '<|eot_id|>' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}
{%- endif -%})";

// `with_system` is a macro: the system text in front of the first question.
constexpr std::string_view kInstBody = R"({{- bos_token -}}
{%- set ns = namespace(system=none) -%}
{%- for m in messages -%}
  {%- if m.role == 'system' -%}
    {%- if not loop.first or not with_system -%}
      {{- raise_exception('this chat format has no place for a system text') -}}
    {%- endif -%}
    {%- set ns.system = m.content -%}
  {%- elif m.role == 'user' -%}
    {%- if loop.previtem and loop.previtem.role == 'user' -%}
      {{- raise_exception('questions and answers must come by turns') -}}
    {%- endif -%}
    {{- open -}}
    {%- if ns.system is not none -%}{{- with_system(ns.system) -}}{%- endif -%}
    {{- (m.content|trim if trimmed is defined and ns.system is none else
         m.content.rstrip() if trimmed is defined else m.content) + close -}}
    {%- set ns.system = none -%}
  {%- elif m.role == 'assistant' -%}
    {%- generation -%}{{- before + m.content + eos_token -}}{%- endgeneration -%}
  {%- else -%}
    {{- raise_exception('this chat format knows system, user and assistant, not ' + m.role) -}}
  {%- endif -%}
{%- endfor -%})";

constexpr std::string_view kMarkBody = R"({%- for m in messages -%}
  {{- '<|' + m.role + '|>\n' -}}
  {%- if m.role == 'assistant' -%}
    {%- generation -%}{{- m.content + eos_token -}}{%- endgeneration -%}{{- '\n' -}}
  {%- else -%}
    {{- m.content + turn_end + '\n' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>\n' -}}{%- endif -%})";

constexpr std::string_view kSmallBody = R"({{- bos_token -}}
{%- for m in messages -%}
  {%- if m.role == 'system' -%}
    {{- '[SYSTEM_PROMPT]' + m.content + '[/SYSTEM_PROMPT]' -}}
  {%- elif m.role == 'user' -%}
    {{- '[INST]' + m.content + '[/INST]' -}}
  {%- else -%}
    {%- generation -%}{{- m.content + eos_token -}}{%- endgeneration -%}
  {%- endif -%}
{%- endfor -%})";

constexpr FormatRow kFormats[] = {
    {"chatml", "", kImBody},
    {"chatml-bos", "{%- set first_token = bos_token -%}", kImBody},
    {"qwen1.5", "{%- set default_system = 'You are a helpful assistant' -%}", kImBody},
    {"qwen2", "{%- set default_system = 'You are a helpful assistant.' -%}", kImBody},
    {"qwen2.5",
     "{%- set default_system = 'You are Qwen, created by Alibaba Cloud. You are a helpful "
     "assistant.' -%}",
     kImBody},
    {"qwen-thinking", "{%- set answer_begin = '<think>\\n' -%}", kImBody},
    {"smollm2",
     "{%- set default_system = 'You are a helpful AI assistant named SmolLM, trained by Hugging "
     "Face' -%}",
     kImBody},
    {"llama-2",
     "{%- set open = '[INST] ' -%}{%- set close = ' [/INST]' -%}{%- set before = ' ' -%}"
     "{%- set trimmed = true -%}"
     "{%- macro with_system(s) -%}{{- '<<SYS>>\\n' + s + '\\n<</SYS>>\\n\\n' -}}{%- endmacro -%}",
     kInstBody},
    {"llama-3", "", kLlama3Body},
    {"llama-3.1",
     "{%- set default_system = 'Cutting Knowledge Date: December 2023\\nToday Date: 26 Jul "
     "2024\\n\\n' -%}",
     kLlama3Body},
    {"llama-3.2",
     "{%- set default_system = 'Cutting Knowledge Date: December 2023\\nToday Date: ' + "
     "strftime_now('%d %b %Y') + '\\n\\n' -%}",
     kLlama3Body},
    {"mistral",
     "{%- set open = '[INST] ' -%}{%- set close = ' [/INST]' -%}{%- set before = ' ' -%}"
     "{%- set with_system = none -%}",
     kInstBody},
    {"mistral-v3",
     "{%- set open = '[INST] ' -%}{%- set close = '[/INST]' -%}{%- set before = ' ' -%}"
     "{%- macro with_system(s) -%}{{- s + '\\n\\n' -}}{%- endmacro -%}",
     kInstBody},
    {"mistral-nemo",
     "{%- set open = '[INST]' -%}{%- set close = '[/INST]' -%}{%- set before = '' -%}"
     "{%- macro with_system(s) -%}{{- s + '\\n\\n' -}}{%- endmacro -%}",
     kInstBody},
    {"mistral-small", "", kSmallBody},
    {"zephyr", "{%- set turn_end = eos_token -%}", kMarkBody},
    {"tulu", "{%- set turn_end = '' -%}", kMarkBody},
};

}  // namespace

std::vector<std::string_view> chat_format_names() {
  std::vector<std::string_view> out;
  for (const FormatRow& f : kFormats) out.push_back(f.name);
  return out;
}

std::string chat_format(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kFormats), std::end(kFormats),
                                         [&](const FormatRow& f) { return f.name == name; });
  if (found != std::end(kFormats)) return fmt::format("{}{}", found->head, found->body);
  throw invalid_argument(fmt::format("no chat format {}; use one of {}", in_quotes(name),
                                     fmt::join(chat_format_names(), ", ")));
}

}  // namespace nibble
