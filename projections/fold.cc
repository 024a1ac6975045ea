#include "projections/fold.h"

#include <variant>

#include "projections/declarative_fold.h"
#include "projections/definition.h"
#include "projections/lua_fold.h"

namespace tidegate {

Result<std::unique_ptr<Fold>> make_fold(const Definition& definition) {
  const auto* const rules = std::get_if<Declarative>(&definition.fold);
  if (rules == nullptr) return make_lua_fold(definition);
  return std::unique_ptr<Fold>(std::make_unique<DeclarativeFold>(*rules));
}

}  // namespace tidegate
