#include "nibble/text/tokenizer_probe.h"

#include <string_view>

#include "nibble/core/error.h"

namespace nibble {
namespace {

// A line each, so that a difference is found by its line.
constexpr std::string_view kProbe[] = {
    "The quick brown fox, aged 12 years, didn't jump over 3.14159 lazy dogs' \"houses\".",
    "  two  spaces   and\ttabs\t\tand trailing   ",
    "def f(x):\n    return {'a': [1, 22, 333], \"b\": x ** 2}  # code\n\n\n",
    "Größe, café, naïve, Ærøskøbing, İstanbul, ﬁne ligature, e\xCC\x81",
    "Привет, мир! Καλημέρα κόσμε. שלום עולם. مرحبا بالعالم. नमस्ते दुनिया",
    "你好，世界。こんにちは世界。안녕하세요 세계",
    "emoji 😀👩‍👩‍👧‍👦🇩🇪, symbols ∑∞≈€£, 1234567890123",
    "HTTPServer2 camelCase snake_case UPPER I'M we'Ll they'd",
    "http://example.org/a?b=c&d=%20#e user@example.org",
};

}  // namespace

std::string line_of_other_ids(const Tokenizer& a, const Tokenizer& b) {
  for (const std::string_view line : kProbe) {
    if (a.encode(line, true) != b.encode(line, true)) return in_quotes(line, 60);
  }
  return "";
}

}  // namespace nibble
