#include "nibble/jobs/token_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "nibble/core/error.h"
#include "nibble/text/json_tree.h"

namespace nibble {
namespace {

[[noreturn]] void refuse_bias(std::string_view bias, std::string_view why) {
  throw invalid_argument(fmt::format("`logit_bias` {}: {}", in_quotes(bias), why));
}

template <class T>
std::optional<T> number_in(std::string_view text) {
  T value{};
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string bias_text(std::string_view bias, std::string_view quoted) {
  JsonTreeBuilder builder;
  try {
    parse_json(quoted, builder);
  } catch (const Error&) {
    refuse_bias(bias, "expected a JSON string between the double quotes");
  }
  if (builder.root.type != JsonNode::Type::string)
    refuse_bias(bias, "expected a JSON string between the double quotes");
  return builder.root.text;
}

int32_t biased_token(std::string_view bias, std::string_view name, const Tokenizer& tokenizer,
                     int64_t rows) {
  if (const auto id = number_in<int64_t>(name)) {
    if (*id < 0 || *id >= rows)
      refuse_bias(bias, fmt::format("expected an id below the model's vocabulary of {}", rows));
    return static_cast<int32_t>(*id);
  }
  const std::string text = name.starts_with('"') ? bias_text(bias, name) : std::string(name);
  if (const auto added = tokenizer.added_token(text)) return *added;
  const std::vector<int32_t> ids = tokenizer.encode(text, false);
  if (ids.size() != 1)
    refuse_bias(bias,
                fmt::format("the text is {} tokens, not one: give an id for each", ids.size()));
  return ids.front();
}

LogitBias read_bias(const std::string& bias, const Tokenizer& tokenizer, int64_t rows) {
  const size_t equals = bias.rfind('=');
  if (equals == std::string::npos || equals == 0)
    refuse_bias(bias, "expected ID=VALUE or TEXT=VALUE");
  std::string_view number = std::string_view(bias).substr(equals + 1);
  if (number.starts_with('+')) number.remove_prefix(1);
  const auto value = number_in<float>(number);
  if (!value || std::isnan(*value) || (std::isinf(*value) && *value > 0))
    refuse_bias(bias, "expected a number or -inf behind the last =");
  return {biased_token(bias, std::string_view(bias).substr(0, equals), tokenizer, rows), *value};
}

// How a token that has not all of the breaker may begin it: the rest, in tokens.
void add_beginnings(int32_t id, std::string_view token, const std::string& breaker,
                    const Tokenizer& tokenizer, DryBreakers& out) {
  for (size_t n = std::min(token.size(), breaker.size() - 1); n > 0; --n) {
    if (!token.ends_with(std::string_view(breaker).substr(0, n))) continue;
    std::vector<int32_t> tail = tokenizer.encode(breaker.substr(n), false);
    if (!tail.empty()) out[id].push_back(std::move(tail));
  }
}

void add_breaker(const std::string& breaker, const Tokenizer& tokenizer, DryBreakers& out) {
  std::string token;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (tokenizer.is_special(id)) continue;
    token.clear();
    DecodeState inside{.started = true, .stripped = -1};
    tokenizer.append_piece(id, inside, token);
    if (token.find(breaker) != std::string::npos)
      out[id].emplace_back();
    else
      add_beginnings(id, token, breaker, tokenizer, out);
  }
}

TokenLogprob spelled_one(const TokenChance& chance, const Tokenizer& tokenizer) {
  return {chance.id, tokenizer.decode({&chance.id, 1}), chance.logprob};
}

}  // namespace

std::vector<LogitBias> read_biases(const std::vector<std::string>& biases,
                                   const Tokenizer& tokenizer, int64_t rows) {
  std::vector<LogitBias> out;
  out.reserve(biases.size());
  for (const std::string& bias : biases) out.push_back(read_bias(bias, tokenizer, rows));
  return out;
}

std::shared_ptr<const DryBreakers> breakers_of(const std::vector<std::string>& texts,
                                               const Tokenizer& tokenizer) {
  auto out = std::make_shared<DryBreakers>();
  for (const std::string& text : texts) {
    if (!text.empty() && text != "none") add_breaker(text, tokenizer, *out);
  }
  return out->empty() ? nullptr : out;
}

std::vector<TokenLogprobs> spelled(const std::vector<ChosenChance>& chances,
                                   const Tokenizer& tokenizer) {
  std::vector<TokenLogprobs> out;
  for (const ChosenChance& c : chances) {
    TokenLogprobs one{spelled_one(c.chosen, tokenizer), {}};
    for (const TokenChance& b : c.best) one.best.push_back(spelled_one(b, tokenizer));
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace nibble
