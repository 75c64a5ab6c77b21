// What holds while a part of a program runs.
#pragma once

#include <memory>
#include <utility>

#include "nibble/text/jinja_lexer.h"
#include "nibble/text/jinja_run.h"

namespace nibble::jinja {

/// A level of depth: of nodes within nodes and of calls within calls.
class Run::Level {
 public:
  Level(Run& run, const Node& node) : run_(run) {
    run.line_ = node.line;
    run.meter_.step();
    if (++run.depth_ > kDeepest) {
      --run.depth_;
      throw failure("calls within calls, too deep (a macro that calls itself?)");
    }
  }
  ~Level() { --run_.depth_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;

 private:
  static constexpr int kDeepest = 800;
  Run& run_;
};

/// A scope of its own, within the one that is there or another.
class Run::Inside {
 public:
  explicit Inside(Run& run) : Inside(run, run.scope_, {}) {}
  Inside(Run& run, Scope* around) : Inside(run, around, {}) {}
  /// `unset`: of the node whose body is run; it must outlive the run.
  Inside(Run& run, const std::vector<std::string>& unset) : Inside(run, run.scope_, unset) {}
  Inside(Run& run, Scope* around, const std::vector<std::string>& unset)
      : run_(run), before_(run.scope_), own_(new Scope) {
    own_->around = around;
    own_->unset = unset.empty() ? nullptr : &unset;
    run.scope_ = own_.get();
  }
  ~Inside() {
    run_.scope_ = before_;
    if (own_->kept) run_.kept_.push_back(std::move(own_));
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  Run& run_;
  Scope* before_;
  std::unique_ptr<Scope> own_;
};

}  // namespace nibble::jinja
