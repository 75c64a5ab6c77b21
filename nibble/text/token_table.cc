#include "nibble/text/token_table.h"

#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <random>

#include "nibble/core/error.h"

namespace nibble {
namespace {

uint64_t draw_seed() {
  std::random_device random;
  return uint64_t{random()} << 32 | random();
}

}  // namespace

TokenTable::TokenTable() : seed_(draw_seed()), slots_(1024) {}

uint64_t TokenTable::hash(std::string_view text) const {
  return XXH3_64bits_withSeed(text.data(), text.size(), seed_);
}

int32_t TokenTable::find_hashed(std::string_view wanted, uint64_t hash) const {
  const size_t mask = slots_.size() - 1;
  const auto tag = static_cast<uint32_t>(hash >> 32);
  for (size_t i = hash & mask;; i = (i + 1) & mask) {
    const Slot& slot = slots_[i];
    if (slot.id < 0 || (slot.tag == tag && text(slot.id) == wanted)) return slot.id;
  }
}

void TokenTable::insert(uint64_t hash, int32_t id) {
  const size_t mask = slots_.size() - 1;
  size_t i = hash & mask;
  while (slots_[i].id >= 0) i = (i + 1) & mask;
  slots_[i] = {static_cast<uint32_t>(hash >> 32), id};
}

void TokenTable::grow() {
  const std::vector<Slot> old = std::move(slots_);
  slots_.assign(old.size() * 4, {});
  for (const Slot& slot : old) {
    if (slot.id >= 0) insert(hash(text(slot.id)), slot.id);
  }
}

void TokenTable::add(std::string_view token, int64_t id, bool allow_empty) {
  const auto wrong = [&](std::string_view reason) {
    return corrupt(fmt::format("token {} (id {}): {}", in_quotes(token, 60), id, reason));
  };
  if (id < 0 || id >= kMaxTokens) throw wrong(fmt::format("ids go from 0 to {}", kMaxTokens - 1));
  if (token.empty() && !allow_empty) throw wrong("a token must not be empty");
  if (token.size() > kMaxTokenBytes) {
    throw wrong(fmt::format("{} bytes long, limit {}", token.size(), kMaxTokenBytes));
  }
  const auto index = static_cast<size_t>(id);
  if (index >= entries_.size()) entries_.resize(index + 1);
  if (entries_[index].length != kAbsent) {
    throw wrong(
        fmt::format("token {} has that id already", in_quotes(text(static_cast<int32_t>(id)))));
  }
  const uint64_t h = hash(token);
  if (const int32_t other = find_hashed(token, h); other >= 0) {
    throw wrong(fmt::format("the same text has id {} already", other));
  }
  NIBBLE_CHECK(arena_.size() + token.size() < kAbsent);
  entries_[index] = {static_cast<uint32_t>(arena_.size()), static_cast<uint32_t>(token.size())};
  arena_ += token;
  if (++count_ * 2 > slots_.size()) grow();
  insert(h, static_cast<int32_t>(id));
}

void TokenTable::add_or_match(std::string_view token, int64_t id) {
  if (const int32_t known = find(token); known < 0 || known != id) add(token, id);
}

void TokenTable::check_complete() const {
  for (int32_t id = 0; id < size(); ++id) {
    if (contains(id)) continue;
    throw corrupt(fmt::format("no token has id {}, yet ids go up to {}", id, size() - 1));
  }
}

}  // namespace nibble
