#include "nibble/text/jinja_scopes.h"

#include <algorithm>
#include <set>
#include <string_view>

namespace nibble::jinja {
namespace {

using Names = std::set<std::string_view>;

// What a scope speaks of, in the order of its text (jinja2/idtracking.py).
struct Symbols {
  const Symbols* around = nullptr;
  Names known, stored, unset;

  bool knows(std::string_view name) const {
    return known.contains(name) || (around != nullptr && around->knows(name));
  }
  void load(std::string_view name) {
    if (!knows(name)) known.insert(name);
  }
  void parameter(std::string_view name) { known.insert(name), stored.insert(name); }
  void store(std::string_view name) {
    stored.insert(name);
    if (known.contains(name)) return;
    if (around == nullptr || !around->knows(name)) unset.insert(name);
    known.insert(name);
  }
  // What may have happened: what only some branches set is what it was before.
  void merge(const std::vector<Symbols>& branches) {
    for (const Symbols& b : branches) {
      known.insert(b.known.begin(), b.known.end());
      unset.insert(b.unset.begin(), b.unset.end());
    }
    for (const Symbols& b : branches) {
      for (const std::string_view name : b.stored) {
        if (!stored.contains(name)) unset.erase(name);
      }
    }
  }
};

class ScopeFinder {
 public:
  static void read(const Node& node, Symbols& s) {
    if (node.kind == NodeKind::name) return s.load(node.text);
    for (const NodePtr& part : node.parts) {
      if (part) read(*part, s);
    }
  }

  static void store(const Node& target, Symbols& s, bool parameter = false) {
    if (target.kind == NodeKind::member) return s.load(target.text);
    if (target.kind == NodeKind::name)
      return parameter ? s.parameter(target.text) : s.store(target.text);
    for (const NodePtr& part : target.parts) store(*part, s, parameter);
  }

  static void read(const std::vector<NodePtr>& body, Symbols& s) {
    for (const NodePtr& node : body) statement(*node, s);
  }

  // The scopes within a body that has been read.
  static void enter(std::vector<NodePtr>& body, const Symbols& around) {
    for (const NodePtr& node : body) enter(*node, around);
  }

 private:
  static void statement(const Node& node, Symbols& s) {
    switch (node.kind) {
      case NodeKind::print:
      case NodeKind::filter_block:
        return read(*node.parts[0], s);
      case NodeKind::branch:
        return branch(node, s);
      case NodeKind::loop:
        return read(*node.parts[1], s);
      case NodeKind::set:
        read(*node.parts[1], s);
        return store(*node.parts[0], s);
      case NodeKind::set_block:
        return store(*node.parts[0], s);
      case NodeKind::with:
        for (size_t i = 1; i < node.parts.size(); i += 2) read(*node.parts[i], s);
        return;
      case NodeKind::macro:
        return s.store(node.text);
      case NodeKind::call_block:
        return read(*node.parts.back(), s);
      default:
        return;
    }
  }

  static void branch(const Node& node, Symbols& s) {
    read(*node.parts[0], s);
    std::vector<Symbols> branches(3, s);
    read(node.body, branches[0]);
    for (size_t i = 1; i < node.parts.size(); ++i) {
      read(*node.parts[i]->parts[0], branches[1]);
      read(node.parts[i]->body, branches[1]);
    }
    read(node.parts.size() > 1 ? node.parts.back()->other : node.other, branches[2]);
    s.merge(branches);
  }

  static void enter(Node& node, const Symbols& around) {
    if (node.kind == NodeKind::branch) {
      for (size_t i = 1; i < node.parts.size(); ++i) enter(*node.parts[i], around);
      enter(node.body, around);
      return enter(node.other, around);
    }
    if (node.body.empty() && node.other.empty()) return;
    Symbols own;
    own.around = &around;
    parameters(node, own);
    read(node.body, own);
    node.unset.assign(own.unset.begin(), own.unset.end());
    enter(node.body, own);
    Symbols otherwise;
    otherwise.around = &around;
    read(node.other, otherwise);
    enter(node.other, otherwise);
  }

  // What a scope has from its beginning.
  static void parameters(const Node& node, Symbols& s) {
    if (node.kind == NodeKind::loop) {
      store(*node.parts[0], s, true);
      s.parameter("loop");
    }
    if (node.kind == NodeKind::with) {
      for (size_t i = 0; i < node.parts.size(); i += 2) store(*node.parts[i], s, true);
    }
    if (node.kind != NodeKind::macro && node.kind != NodeKind::call_block) return;
    for (const std::string& word : node.words) s.parameter(word);
    const size_t defaults = node.parts.size() - (node.kind == NodeKind::call_block ? 1 : 0);
    for (size_t i = 0; i < defaults; ++i) read(*node.parts[i], s);
  }
};

}  // namespace

void find_unset(Program& program) {
  Symbols root;
  ScopeFinder::read(program.body, root);
  program.unset.assign(root.unset.begin(), root.unset.end());
  ScopeFinder::enter(program.body, root);
}

}  // namespace nibble::jinja
