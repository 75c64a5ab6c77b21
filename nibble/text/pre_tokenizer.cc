#include "nibble/text/pre_tokenizer.h"

#include <algorithm>

#include "nibble/core/utf8.h"

namespace nibble {

namespace {

// Joins the pieces of one part as a behaviour says and appends them.
class Joiner {
 public:
  Joiner(SplitBehavior behavior, std::vector<TextRange>& out) : behavior_(behavior), out_(out) {}

  void add(TextRange piece, bool match) {
    if (piece.size() == 0) return;
    const bool join = joins(match);
    was_match_ = match;
    if (match && behavior_ == SplitBehavior::removed) {
      any_ = false;
    } else if (join) {
      out_.back().end = piece.end;
    } else {
      out_.push_back(piece);
      any_ = true;
    }
  }

 private:
  bool joins(bool match) const {
    if (!any_) return false;
    switch (behavior_) {
      case SplitBehavior::merged_with_previous:
        return match && !was_match_;
      case SplitBehavior::merged_with_next:
        return !match && was_match_;
      case SplitBehavior::contiguous:
        return match == was_match_;
      default:
        return false;
    }
  }

  SplitBehavior behavior_;
  std::vector<TextRange>& out_;
  bool any_ = false, was_match_ = false;
};

}  // namespace

void Splitter::apply(std::string_view text, std::vector<TextRange>& parts,
                     RegexScratch& regex) const {
  std::vector<TextRange> out;
  out.reserve(parts.size());
  regex.allow(text.size());
  for (const TextRange part : parts) {
    const std::string_view subject = text.substr(part.begin, part.size());
    Joiner joiner(behavior, out);
    size_t done = 0;
    const auto add = [&](size_t begin, size_t end, bool match) {
      joiner.add({part.begin + begin, part.begin + end}, match != invert);
    };
    for (size_t from = 0; from < subject.size();) {
      const auto match = pattern.search(subject, from, regex);
      if (!match) break;
      add(done, match->begin, false);
      add(match->begin, match->end, true);
      done = match->end;
      from = match->end;
      if (match->size() == 0) from += std::max<size_t>(1, utf8_length(subject, from));
    }
    add(done, subject.size(), false);
  }
  parts = std::move(out);
}

std::string PreTokenizer::prepared(std::string text, bool first) const {
  const bool wanted = prefix == PrefixSpace::always || (prefix == PrefixSpace::first && first);
  if (wanted && !text.empty() && text[0] != ' ' && (space.empty() || !text.starts_with(space))) {
    text.insert(text.begin(), ' ');
  }
  if (space.empty()) return text;
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  for (const char c : text) {
    if (c == ' ') {
      out += space;
    } else {
      out += c;
    }
  }
  return out;
}

std::vector<TextRange> PreTokenizer::split(std::string_view text, RegexScratch& regex) const {
  std::vector<TextRange> parts;
  if (!text.empty()) parts.push_back({0, text.size()});
  for (const Splitter& splitter : splitters) splitter.apply(text, parts, regex);
  return parts;
}

}  // namespace nibble
