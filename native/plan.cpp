// Recording a plan: its operations are put into phases, between which the threads wait for each other.
#include "plan.hpp"

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <utility>

namespace pellucid {
namespace {

constexpr std::size_t kMostGroups = 1024;       // of a phase: a crew counts its pieces in 16 bits

// How an operation's work is shared out between threads.
enum class Share { rows, whole };

Share share(Kind kind) {
    switch (kind) {
        case Kind::linear:
        case Kind::attend:
        case Kind::take:
        case Kind::experts:
        case Kind::logits: return Share::whole;
        default: return Share::rows;
    }
}

// What was touched since the last barrier. An operation that shares out rows may follow another on
// the same rows without waiting; any other that touches what was touched, and either wrote, must wait.
class Touched {
public:
    Touched(std::size_t buffers, std::size_t sixteens) : buffers_(buffers), sixteens_(sixteens) {}

    bool must_wait(const Op& op) const {
        if (op.kind == Kind::attend) return true;       // for the keys that `store` wrote
        bool wait = op.kind == Kind::experts || after_mixture_;     // which has phases of its own
        const Share mine = share(op.kind);
        each(*this, op, [&](const Touches& before, bool write) {
            for (const Touch& t : before)
                wait |= (t.wrote || write) && (t.share == Share::whole || mine == Share::whole);
        });
        return wait;
    }

    void add(const Op& op) {
        after_mixture_ = op.kind == Kind::experts;
        each(*this, op, [&](Touches& touches, bool write) { touches.push_back({share(op.kind), write}); });
    }

    void clear() {
        for (Touches& b : buffers_) b.clear();
        for (Touches& s : sixteens_) s.clear();
    }

private:
    struct Touch {
        Share share;
        bool wrote;
    };
    using Touches = std::vector<Touch>;

    // f(touches, whether it writes) for all that an operation touches.
    template <class Self, class Function>
    static void each(Self& self, const Op& op, Function f) {
        for (int in : {op.a, op.b})
            if (in >= 0) f(self.buffers_[in], false);
        if (op.quantised >= 0) f(self.sixteens_[op.quantised], op.kind == Kind::quantise);
        if (op.out >= 0) f(self.buffers_[op.out], true);
    }

    std::vector<Touches> buffers_, sixteens_;
    bool after_mixture_ = false;
};

}  // namespace

const char* kind_name(Kind kind) {
    static const char* const names[] = {"embed", "position", "linear", "norm", "turns", "rotate",
                                        "store", "attend", "activate", "add", "multiply", "scale",
                                        "softcap", "take", "quantise", "experts", "logits"};
    return names[static_cast<int>(kind)];
}

void Plan::push(Op op) {
    pellucid::check(op, buffers_, layout_);
    if (op.quantised >= 0) {
        const int of = sixteens_.at(op.quantised).of;
        if (buffers_[of].width != buffers_[op.a].width || buffers_[of].wanted != buffers_[op.a].wanted)
            throw std::invalid_argument("16-bit numbers of other rows");
    }
    for (const Op& before : ops_)       // the queries of all are shared out alike
        if (op.kind == Kind::attend && before.kind == Kind::attend && before.heads != op.heads)
            throw std::invalid_argument("attention with another number of heads");
    if (op.kind == Kind::attend) attending_[op.window];
    ops_.push_back(std::move(op));
}

void Plan::finish(int result) {
    if (!buffers_.at(result).wanted) throw std::invalid_argument("the result is not of wanted rows");
    result_ = result;
    Op logits;
    logits.kind = Kind::logits;
    logits.a = result;
    push(logits);
    parts_.assign(1, {});
    const int count = static_cast<int>(ops_.size());
    Touched touched(buffers_.size(), sixteens_.size());
    for (int i = 0; i < count; i++) {
        Op& op = ops_[i];
        const auto stops = std::count(stops_.begin(), stops_.end(), i);     // each begins a part
        parts_.resize(parts_.size() + stops);
        op.barrier = stops || touched.must_wait(op);
        const Phases& phases = parts_.back();
        if (!phases.empty() && phases.back().size() == kMostGroups) op.barrier = true;
        if (op.barrier) touched.clear();
        touched.add(op);
        group(i, op.barrier);
    }
}

// Puts an operation into the last phase, or into one that it opens.
void Plan::group(int number, bool opens) {
    Phases& phases = parts_.back();
    if (opens || phases.empty()) phases.emplace_back();
    const Op& op = ops_[number];
    if (op.kind == Kind::experts) {
        phases.back().push_back({{number}, Stage::choose, 0});
        for (Stage stage : {Stage::gather, Stage::widen, Stage::activate, Stage::narrow, Stage::join})
            phases.push_back({{{number}, stage, 0}});
        return;
    }
    auto buffer = [&](const Op& of) -> const Buffer& { return buffers_[of.out >= 0 ? of.out : of.a]; };
    const std::size_t bytes = 2 * sizeof(float) * buffer(op).width;
    if (share(op.kind) == Share::rows)
        for (Group& group : phases.back()) {
            const Op& other = ops_[group.ops.front()];
            if (share(other.kind) != Share::rows || buffer(other).wanted != buffer(op).wanted) continue;
            group.ops.push_back(number);
            group.bytes += bytes;
            return;
        }
    phases.back().push_back({{number}, Stage::whole, bytes});
}

}  // namespace pellucid
