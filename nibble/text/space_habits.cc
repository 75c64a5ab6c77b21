#include "nibble/text/space_habits.h"

#include <algorithm>

#include "nibble/text/load.h"

namespace nibble {
namespace {

// Words without spaces, which are marks by then, or those that begin with a mark, where none is
// inside of a token.
bool cuts_no_token(const Splitter& splitter, const TokenTable& tokens) {
  const std::string_view pattern = splitter.pattern.pattern();
  if (splitter.invert) return false;
  if (pattern == " ") return true;
  if (pattern != kSpaceMark || splitter.behavior != SplitBehavior::merged_with_next) return false;
  for (int32_t id = 0; id < tokens.size(); ++id) {
    const size_t last = tokens.contains(id) ? tokens.text(id).rfind(kSpaceMark) : 0;
    if (last != std::string_view::npos && last > 0) return false;
  }
  return true;
}

// The steps before a text is cut, as far as they are the usual ones, in their order.
class KnownSteps {
 public:
  explicit KnownSteps(const Normalizers& steps) : steps_(steps) {}
  bool next(const std::unique_ptr<Normalizer>& step) {
    const bool there = !done() && steps_[at_]->name() == step->name();
    if (there) ++at_;
    return there;
  }
  bool done() const { return at_ == steps_.size(); }

 private:
  const Normalizers& steps_;
  size_t at_ = 0;
};

}  // namespace

std::optional<SpaceHabits> space_habits(const BpeParts& parts) {
  SpaceHabits habits;
  const std::string mark(kSpaceMark);
  KnownSteps steps(parts.normalizers);
  habits.single = steps.next(make_single_spaces());
  for (const std::string& space : {std::string(" "), mark}) {
    const bool each = steps.next(make_prepend(space));
    const bool first = !each && steps.next(make_prepend(space, true));
    habits.prefix = habits.prefix || each || first;
    habits.each = habits.each && !first;
  }
  const bool marked = steps.next(make_replace(" ", mark));
  const PreTokenizer& cut = parts.pre_tokenizer;
  if (!steps.done() || marked == (cut.space == mark)) return std::nullopt;
  if (cut.prefix != PrefixSpace::never) {
    habits.each = cut.prefix == PrefixSpace::always;
    habits.prefix = habits.unless = true;
  }
  const bool whole = std::all_of(cut.splitters.begin(), cut.splitters.end(),
                                 [&](const Splitter& s) { return cuts_no_token(s, parts.tokens); });
  return whole ? std::optional(habits) : std::nullopt;
}

}  // namespace nibble
