#include "nibble/text/jinja_run.h"

#include <algorithm>

#include "nibble/text/jinja_guards.h"
#include "nibble/text/jinja_tables.h"

namespace nibble::jinja {

const Value* Scope::find(std::string_view name) const {
  for (const auto& [n, v] : names) {
    if (n == name) return &v;
  }
  return nullptr;
}

bool Scope::hides(std::string_view name) const {
  return unset != nullptr && std::find(unset->begin(), unset->end(), name) != unset->end();
}

void Scope::set(std::string_view name, Value v) {
  for (auto& [n, old] : names) {
    if (n != name) continue;
    old = std::move(v);
    return;
  }
  names.emplace_back(name, std::move(v));
}

Run::Run(const Program& program, Meter& meter, const std::tm& now)
    : program_(program), meter_(meter), now_(now) {
  texts_.resize(static_cast<size_t>(program.texts));
  for (const BuiltinRow& row : globals()) base_.set(row.name, function(row.name, row.callee));
}

// Namespaces and scopes can hold each other in a circle: they are emptied one by one, while each is
// held from here.
Run::~Run() {
  for (const auto& space : spaces_) space->items.clear();
  for (const auto& scope : kept_) scope->names.clear();
}

Value Run::text() {
  try {
    const Inside inside(*this, program_.unset);
    TextBuilder out(meter_);
    execute(program_.body, out);
    return out.finish();
  } catch (Error& e) {
    throw std::move(e).at(line_place(line_));
  }
}

Value Run::make_space(std::vector<std::pair<std::string, Value>> items) {
  Charge charge(meter_);
  charge.add(sizeof(Space) + items.size() * sizeof(items[0]));
  auto out = std::make_shared<Space>(std::move(charge));
  out->items = std::move(items);
  spaces_.push_back(out);
  return of_object(Kind::space, std::move(out));
}

Value Run::function(std::string_view name, Callee callee, Value self) {
  Charge charge(meter_);
  charge.add(sizeof(Function));
  auto out = std::make_shared<Function>(std::move(charge));
  out->name = name;
  out->callee = callee;
  out->depth = self.depth() + 1;
  out->self = std::move(self);
  return of_object(Kind::function, std::move(out));
}

}  // namespace nibble::jinja
