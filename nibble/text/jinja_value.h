// The values of a chat template's program: Python's, as far as templates have them. They are made
// within one run, whose Meter counts their bytes and outlives them. None can be changed but
// namespaces, loops and generators.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nibble/text/jinja_meter.h"

namespace nibble::jinja {

class Run;
struct Node;
struct Scope;

/// Where bytes of a text come from, a set of bits. Nothing: from the template.
using Origin = uint8_t;
constexpr Origin kPeople = 1;  ///< the conversation: no special token is meant
constexpr Origin kAnswer = 2;  ///< written within {% generation %}

struct OriginSpan {
  size_t begin, end;
  Origin origin;
};

enum class Kind : uint8_t {
  undefined,
  none,
  boolean,
  integer,
  real,
  text,
  list,
  tuple,
  dict,
  view,  // of a dict: its keys, values or items
  range,
  generator,
  space,  // namespace
  loop,
  macro,
  function
};

/// What a value points to. `depth`: of the values within it, bounded, so that they can be walked
/// and freed by recursion.
struct Object {
  explicit Object(Charge c) : charge(std::move(c)) {}
  virtual ~Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  Charge charge;
  int depth = 0;
};

struct Value {
  Kind kind = Kind::none;
  union {
    int64_t integer = 0;  ///< also a boolean's
    double real;
  };
  std::shared_ptr<Object> object;

  bool is(Kind k) const { return kind == k; }
  /// True for booleans, too, as they are numbers.
  bool is_integer() const { return kind == Kind::integer || kind == Kind::boolean; }
  bool is_number() const { return is_integer() || kind == Kind::real; }
  int depth() const { return object ? object->depth : 0; }
};

struct Text : Object {
  using Object::Object;
  std::string bytes;              ///< UTF-8
  std::vector<OriginSpan> spans;  ///< in order, apart; what none covers is the template's
  int64_t length = 0;             ///< characters
  bool markup = false;            ///< behind |safe or |escape: what is joined to it is escaped
  bool ascii() const { return length == static_cast<int64_t>(bytes.size()); }
};

/// Of a list or a tuple.
struct List : Object {
  using Object::Object;
  std::vector<Value> items;
};

struct Dict : Object {
  using Object::Object;
  std::vector<std::pair<Value, Value>> items;  ///< in the order they came
};

struct View : Object {
  using Object::Object;
  enum class Of { keys, values, items } of = Of::keys;
  Value dict;
};

struct Range : Object {
  using Object::Object;
  int64_t start = 0, stop = 0, step = 1;
  int64_t size() const;
};

/// What can be gone through once. It is filled when it is made; what went wrong there is told where
/// it is reached, as if it were made item by item.
struct Generator : Object {
  using Object::Object;
  std::vector<Value> items;
  size_t next = 0;
  std::optional<Error> failure;
  std::string_view type = "generator";
};

struct Space : Object {
  using Object::Object;
  std::vector<std::pair<std::string, Value>> items;
};

struct Loop : Object {
  using Object::Object;
  std::vector<Value> items;
  size_t index = 0;
  int64_t level = 0;  ///< of a recursive loop, from 0
  std::optional<Value> changed;
  const Node* again = nullptr;  ///< the loop's node where it is recursive
  Scope* around = nullptr;
};

struct Macro : Object {
  using Object::Object;
  const Node* node = nullptr;
  Scope* around = nullptr;
};

struct Arguments {
  std::vector<Value> list;
  std::vector<std::pair<std::string, Value>> named;
  const Value* find(std::string_view name) const;
};

using Callee = Value (*)(Run&, const Value& self, const Arguments&);

struct Function : Object {
  using Object::Object;
  std::string_view name;
  Callee callee = nullptr;
  Value self;  ///< of a method
};

struct Undefined : Object {
  using Object::Object;
  std::string message;
};

inline Value none() { return {}; }
Value of_boolean(bool v);
Value of_integer(int64_t v);
Value of_real(double v);
Value of_text(Meter& meter, std::string_view bytes, Origin origin = 0);
/// A text as it was taken apart: `spans` fit `bytes`.
Value of_text(Charge charge, std::string bytes, std::vector<OriginSpan> spans, bool markup);
Value undefined(Meter& meter, std::string message);
Value of_object(Kind kind, std::shared_ptr<Object> object);

inline const Text& text_of(const Value& v) { return static_cast<const Text&>(*v.object); }
inline std::string_view bytes_of_text(const Value& v) { return text_of(v).bytes; }
inline const std::vector<Value>& items_of(const Value& v) {
  return static_cast<const List&>(*v.object).items;
}
inline const Dict& dict_of(const Value& v) { return static_cast<const Dict&>(*v.object); }

/// Values that are collected to a list, a tuple or a generator, each counted as it comes.
class Items {
 public:
  explicit Items(Meter& meter) : charge_(meter) {}
  void add(Value v);
  size_t size() const { return values_.size(); }
  std::vector<Value>& values() { return values_; }
  Value list() { return finish(Kind::list); }
  Value tuple() { return finish(Kind::tuple); }
  Value generator(std::string_view type = "generator", std::optional<Error> failure = {});

 private:
  Value finish(Kind kind);
  Charge charge_;
  std::vector<Value> values_;
  int depth_ = 0;
};

/// The same for a dict; a key that is there gets the new value.
class Entries {
 public:
  explicit Entries(Meter& meter) : charge_(meter) {}
  /// Error{corrupt} for a key that Python does not hash.
  void set(const Value& key, Value v);
  /// Without a look at the others: the caller knows that the key is new.
  void append(Value key, Value v);
  Value dict();

 private:
  Charge charge_;
  std::vector<std::pair<Value, Value>> items_;
  int depth_ = 0;
};

/// "str", "int", "NoneType", "dict", ...: Python's name of its type.
std::string_view type_name(const Value& v);
/// What an if says of it.
bool truth(const Value& v);
/// Error{corrupt} with the message of an undefined value; nothing for others.
void require_defined(const Value& v);

/// The entry of a key; nullptr where there is none.
const Value* find_key(Meter& meter, const Dict& dict, const Value& key);
const Value* find_key(const Dict& dict, std::string_view key);

/// len(): Error{corrupt} for what has none.
int64_t length_of(const Value& v);
/// Everything that a loop over it meets. A generator is empty afterwards. Error{corrupt} for what
/// cannot be gone through.
std::vector<Value> walk(Run& run, const Value& v);
bool is_iterable(const Value& v);

}  // namespace nibble::jinja
