#include "nibble/text/regex.h"

#include <fmt/format.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>

#include "nibble/core/error.h"

namespace nibble {
namespace {

constexpr size_t kMaxPattern = 4096;
constexpr uint32_t kMaxNesting = 32, kMaxDepth = 5000;
constexpr size_t kMostStack = size_t{1} << 28;
constexpr uint32_t kHeapKib = 64 << 10;
// Steps of one match: a few for each byte of the text, so that time stays linear.
constexpr uint64_t kStepsForAByte = 64, kMostSteps = uint64_t{1} << 31;
// White_Space of Unicode; PCRE2's own \s holds U+180E as well, which ceased to be a space.
constexpr std::string_view kSpaces = R"(\t-\r\x{85}\p{Z})";

// The pattern in PCRE2's language.
class Translation {
 public:
  explicit Translation(std::string_view pattern) : rest_(pattern) {
    while (!rest_.empty()) step();
  }
  std::string text;

 private:
  static void refuse(std::string_view what) {
    throw unsupported(fmt::format("{} in a pattern is not supported", what));
  }

  void step() {
    const char c = rest_.front();
    if (c == '\\') return escape();
    if (in_class_) {
      if (rest_.starts_with("&&")) refuse("an intersection of classes (&&)");
      if (c == '[' && !rest_.starts_with("[:")) refuse("a class inside a class");
      if (c == '[') return take(std::min(rest_.size(), rest_.find(":]") + 2));
      if (c == ']' && !first_in_class_) in_class_ = false;
      first_in_class_ = first_in_class_ && c == '^';
    } else if (c == '[') {
      in_class_ = first_in_class_ = true;
    } else if (rest_.starts_with("(*")) {
      refuse("a verb \"(*\"");
    } else if (rest_.starts_with("(?m") || rest_.starts_with("(?-m")) {
      refuse("the option m");
    } else if (rest_.starts_with("}+")) {
      refuse("a quantifier \"{...}+\"");
    }
    take(1);
  }

  void escape() {
    if (rest_.size() < 2) refuse("a backslash at the end");
    const char c = rest_[1];
    first_in_class_ = false;
    if (c == 's' || (c == 'S' && !in_class_)) {
      rest_.remove_prefix(2);
      text +=
          in_class_ ? std::string(kSpaces) : fmt::format("[{}{}]", c == 'S' ? "^" : "", kSpaces);
      return;
    }
    if (std::string_view("hHKCXRGQEgk").find(c) != std::string_view::npos ||
        (c >= '1' && c <= '9')) {
      refuse(fmt::format("\"\\{}\"", printable({&c, 1})));
    }
    // \p{L} and \x{85} as a whole: their brace is no quantifier.
    const bool braced = (c == 'p' || c == 'P' || c == 'x') && rest_.substr(2).starts_with('{');
    const size_t end = braced ? rest_.find('}') : 1;
    if (end == std::string_view::npos) refuse("a brace without its end");
    take(end + 1);
  }

  void take(size_t n) {
    text += rest_.substr(0, n);
    rest_.remove_prefix(n);
  }

  std::string_view rest_;
  bool in_class_ = false, first_in_class_ = false;
};

std::string message_of(int code) {
  std::array<unsigned char, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

template <auto free_function>
struct Freer {
  template <class T>
  void operator()(T* p) const {
    free_function(p);
  }
};

}  // namespace

struct Regex::Compiled {
  std::unique_ptr<pcre2_code, Freer<pcre2_code_free>> code;
  bool fast = false;  // machine code
};

Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Regex::Regex(std::string_view pattern) : compiled_(std::make_unique<Compiled>()) {
  if (pattern.size() > kMaxPattern) {
    throw unsupported(fmt::format("a pattern of {} bytes, limit {}", pattern.size(), kMaxPattern));
  }
  const std::string text = Translation(pattern).text;
  std::unique_ptr<pcre2_compile_context, Freer<pcre2_compile_context_free>> context(
      pcre2_compile_context_create(nullptr));
  if (!context) throw std::bad_alloc();
  pcre2_set_parens_nest_limit(context.get(), kMaxNesting);
  int error = 0;
  size_t offset = 0;
  // Multi-line as ^ and $ always are in Oniguruma's default syntax.
  compiled_->code.reset(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                    &offset, context.get()));
  if (!compiled_->code) {
    throw corrupt(
        fmt::format("pattern {}: {} (at byte {})", in_quotes(pattern), message_of(error), offset));
  }
  compiled_->fast = pcre2_jit_compile(compiled_->code.get(), PCRE2_JIT_COMPLETE) == 0;
}

Regex Regex::literal(std::string_view text) {
  constexpr std::string_view kMeta = "\\^$.|?*+()[]{}-&#";
  std::string pattern;
  for (const char c : text) {
    if (kMeta.find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  return Regex(pattern);
}

struct RegexScratch::State {
  std::unique_ptr<pcre2_match_data, Freer<pcre2_match_data_free>> data{
      pcre2_match_data_create(1, nullptr)};
  std::unique_ptr<pcre2_match_context, Freer<pcre2_match_context_free>> context{
      pcre2_match_context_create(nullptr)};
  std::unique_ptr<pcre2_jit_stack, Freer<pcre2_jit_stack_free>> stack;
};

// The stack of the machine code lies on the heap and is only touched where it is used: a place to
// go back to takes up to two words a character.
RegexScratch::RegexScratch(size_t longest) : state_(std::make_unique<State>()) {
  const size_t most = std::min(kMostStack, (size_t{64} << 10) + 16 * longest);
  state_->stack.reset(pcre2_jit_stack_create(32 << 10, most, nullptr));
  if (!state_->data || !state_->context || !state_->stack) throw std::bad_alloc();
  pcre2_set_heap_limit(state_->context.get(), kHeapKib);
  pcre2_set_depth_limit(state_->context.get(), kMaxDepth);
  pcre2_jit_stack_assign(state_->context.get(), nullptr, state_->stack.get());
}

RegexScratch::~RegexScratch() = default;

std::optional<TextRange> Regex::search(std::string_view text, size_t from,
                                       RegexScratch& scratch) const {
  RegexScratch::State& state = *scratch.state_;
  const uint64_t steps = (text.size() - from + 4096) * kStepsForAByte;
  pcre2_set_match_limit(state.context.get(), static_cast<uint32_t>(std::min(steps, kMostSteps)));
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const auto run = [&](auto match, uint32_t options) {
    return match(compiled_->code.get(), subject, text.size(), from, options, state.data.get(),
                 state.context.get());
  };
  int rc = compiled_->fast ? run(pcre2_jit_match, 0) : PCRE2_ERROR_JIT_STACKLIMIT;
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT) rc = run(pcre2_match, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT);
  if (rc == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (rc < 0) {
    throw unsupported(
        fmt::format("the pattern needs too much time or memory on this text ({})", message_of(rc)));
  }
  const size_t* ends = pcre2_get_ovector_pointer(state.data.get());
  if (ends[0] < from || ends[1] < ends[0]) throw unsupported("a pattern that matches backwards");
  return TextRange{ends[0], ends[1]};
}

}  // namespace nibble
