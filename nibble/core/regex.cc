#include "nibble/core/regex.h"

#include <fmt/format.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <utility>

#include "nibble/core/error.h"
#include "nibble/core/regex_syntax.h"

namespace nibble {
namespace {

constexpr size_t kMaxPattern = 4096;
constexpr uint32_t kMaxNesting = 32, kMostDepth = 5000;
constexpr size_t kMostStack = size_t{1} << 28;
constexpr uint32_t kHeapKib = 64 << 10;
// Steps: some for each byte of the text, so that time stays linear, and some for a text of any
// size.
constexpr uint64_t kStepsForAByte = 64, kStepsAtLeast = 4096 * kStepsForAByte;
constexpr uint64_t kMostSteps = uint64_t{1} << 31;
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
  bool fast = false;    // machine code
  std::string pattern;  // as the file has it
};

Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Regex::Regex(std::string_view pattern) : compiled_(std::make_unique<Compiled>()) {
  if (pattern.size() > kMaxPattern) {
    throw unsupported(fmt::format("a pattern of {} bytes, limit {}", pattern.size(), kMaxPattern));
  }
  compiled_->pattern = pattern;
  const std::string text = pcre2_pattern(pattern);
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

std::string_view Regex::pattern() const { return compiled_->pattern; }

struct RegexScratch::State {
  std::unique_ptr<pcre2_match_data, Freer<pcre2_match_data_free>> data{
      pcre2_match_data_create(1, nullptr)};
  std::unique_ptr<pcre2_match_context, Freer<pcre2_match_context_free>> context{
      pcre2_match_context_create(nullptr)};
  std::unique_ptr<pcre2_jit_stack, Freer<pcre2_jit_stack_free>> stack;
  uint64_t steps_left = kStepsAtLeast;
  size_t at = 0;  // where the matcher was last seen

  // PCRE2 counts steps for each place where a match may begin, not in all, and reading on through a
  // repeated character not at all. So the way between the callouts of pcre2_pattern() is counted.
  static int count(pcre2_callout_block* block, void* data) {
    auto& state = *static_cast<State*>(data);
    const size_t now = block->current_position, before = std::exchange(state.at, now);
    const uint64_t steps = 1 + (now > before ? now - before : before - now);
    if (steps > state.steps_left) return PCRE2_ERROR_MATCHLIMIT;
    state.steps_left -= steps;
    return 0;
  }
};

// The stack of the machine code lies on the heap and is only touched where it is used: a place to
// go back to takes up to two words a character.
RegexScratch::RegexScratch(size_t longest) : state_(std::make_unique<State>()) {
  const size_t most = std::min(kMostStack, (size_t{64} << 10) + 16 * longest);
  state_->stack.reset(pcre2_jit_stack_create(32 << 10, most, nullptr));
  if (!state_->data || !state_->context || !state_->stack) throw std::bad_alloc();
  pcre2_set_heap_limit(state_->context.get(), kHeapKib);
  pcre2_set_depth_limit(state_->context.get(), kMostDepth);
  pcre2_jit_stack_assign(state_->context.get(), nullptr, state_->stack.get());
  pcre2_set_callout(state_->context.get(), State::count, state_.get());
}

RegexScratch::~RegexScratch() = default;

void RegexScratch::allow(size_t bytes) { state_->steps_left += bytes * kStepsForAByte; }

std::optional<TextRange> Regex::search(std::string_view text, size_t from,
                                       RegexScratch& scratch) const {
  RegexScratch::State& state = *scratch.state_;
  const uint64_t steps = (text.size() - from) * kStepsForAByte + kStepsAtLeast;
  state.at = from;
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
        fmt::format("the pattern {} needs too much time or memory on a text of {} bytes ({})",
                    in_quotes(compiled_->pattern), text.size(), message_of(rc)));
  }
  const size_t* ends = pcre2_get_ovector_pointer(state.data.get());
  if (ends[0] < from || ends[1] < ends[0]) throw unsupported("a pattern that matches backwards");
  return TextRange{ends[0], ends[1]};
}

}  // namespace nibble
