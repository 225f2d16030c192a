// What the files share that say what Python sees.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <memory>
#include <string>

#include "arena.hpp"
#include "kernels.hpp"
#include "pool.hpp"
#include "sequence.hpp"
#include "survey.hpp"

namespace pellucid {

// The kernels of this name; where it is empty, those that PELLUCID_ISA names, or the fastest. Throws where
// this processor has none.
const Kernels* kernels(const std::string& name);

struct Engine {
    const Kernels* table;
    std::shared_ptr<Pool> pool;
    std::shared_ptr<Arena> arena = std::make_shared<Arena>();
    std::shared_ptr<Pages> pages = std::make_shared<Pages>();
    Engine(int threads, const std::string& isa);
};

// Python's `Candidates` of n scores that lie in an array, in whose blocks all was looked at.
nanobind::object candidates(nanobind::handle array, const float* scores, std::size_t n, Found found);

void bind_plan(nanobind::module_& m);
void bind_vocabulary(nanobind::module_& m);

}  // namespace pellucid
