// A plan: the operations of one pass, recorded once, executed for any rows with no Python between.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels.hpp"
#include "pack.hpp"
#include "pool.hpp"
#include "sequence.hpp"
#include "survey.hpp"

namespace pellucid {

struct Span {       // rows [row, row + rows) are the next positions of a sequence
    int row, rows;
    Sequence* sequence;
};

struct Batch {
    int rows = 0, wanted_rows = 0;
    const std::int64_t* ids = nullptr;
    const std::int64_t* positions = nullptr;
    const std::int64_t* wanted = nullptr;
    float* out = nullptr;                       // [wanted, width of the result]
    std::vector<Found>* found = nullptr;        // of each wanted row's logits, where that is asked
    std::vector<Span> spans;
};

enum class Kind {
    embed, position, linear, norm, turns, rotate, store, attend,
    activate, add, multiply, scale, softcap, take, quantise, experts, logits
};
const char* kind_name(Kind kind);

constexpr int kMaxChosen = 64;      // experts for a row
constexpr int kFewRows = 8;         // whose pass takes as long as memory does, and has few heads to share out

// How often a weight's bytes count, where so many rows meet it: four are met while it is read.
inline std::size_t work_of(std::size_t rows) { return (rows + 3) / 4; }

struct Mlp {        // of one expert; a plain one has no gate
    std::shared_ptr<Packed> up, down, gate;
};

struct Op {
    Kind kind;
    int out = -1, a = -1, b = -1;           // buffers; -1 none
    int quantised = -1;                     // of a linear: its activations as 16-bit numbers
    int layer = 0, heads = 1, window = 0, chosen = 0;
    Act act = Act::silu;
    bool centre = false, renormalise = false;
    float number = 0, softcap = 0;          // epsilon, factor, cap or scale
    std::shared_ptr<Packed> matrix;
    std::vector<float> weight, bias;        // of a norm; bias of a linear; frequencies of turns
    std::vector<Mlp> experts;
    bool barrier = false;                   // needs what other threads did since the last one
    double seconds = 0, waited = 0;         // of passes that were measured; what a thread, on the
                                            // mean, had nothing to do of them
};

struct Buffer {
    int width;
    bool wanted;                            // has a row for each wanted row, not for each row
    std::vector<float> data;
};

// Whether an operation fits: buffers that exist, widths that agree. Throws std::invalid_argument.
void check(const Op& op, const std::vector<Buffer>& buffers, const Layout& layout);

class Plan {
public:
    Plan(std::shared_ptr<Pool> pool, const Kernels* kernels, Layout layout)
        : pool_(std::move(pool)), kernels_(kernels), layout_(layout) {}

    int buffer(int width, bool wanted) {
        buffers_.push_back({width, wanted, {}});
        return static_cast<int>(buffers_.size()) - 1;
    }
    int quantised(int of) {
        (void)buffers_.at(of);      // throws where there is none
        sixteens_.push_back({of, {}, {}});
        return static_cast<int>(sixteens_.size()) - 1;
    }
    // Throws where the operation does not fit its buffers or the layout.
    void push(Op op);
    // Here a pass comes back to whoever runs it, who may read and write buffers before it goes on.
    void stop() { stops_.push_back(static_cast<int>(ops_.size())); }
    // Orders the phases; `result` is the buffer of logits, which a last operation hands out.
    void finish(int result);

    // Before a batch is executed, while the interpreter's lock is held: makes the pages that it writes
    // its sequences' own. Throws where ids, positions or spans are not of this plan.
    void prepare(const Batch& batch) const;
    // A plan with stops is executed part by part, each with the same batch; the last fills `out`, and
    // `found` where there is one. Throws std::overflow_error where keys or values are beyond f16, and then
    // what was written behind the sequences' lengths is of no use.
    void execute(const Batch& batch, int part);
    int parts() const { return static_cast<int>(parts_.size()); }
    // The first rows of a buffer, between two parts or after the last. Reading throws where there
    // are fewer; writing makes room.
    void read(int buffer, int rows, float* out) const;
    void write(int buffer, int rows, const float* from);
    int result_width() const {              // throws where the plan is not finished
        if (result_ < 0) throw std::invalid_argument("the plan is not finished");
        return buffers_[result_].width;
    }
    Found found() const { return {*kernels_, static_cast<std::size_t>(result_width())}; }   // of a row, before it is looked at
    const std::vector<Op>& ops() const { return ops_; }
    const std::vector<Buffer>& buffers() const { return buffers_; }
    const Layout& layout() const { return layout_; }
    bool measuring = false;

private:
    struct Sixteen {
        int of;                             // the buffer whose rows these are
        std::vector<std::uint8_t> bytes;
        std::vector<RowGroup> groups;
        void fit(std::size_t numbers) {
            bytes.resize(std::max(bytes.size(), 2 * numbers));
            groups.resize(std::max(groups.size(), numbers / kGroup));
        }
    };
    // Operations of one phase whose work is cut alike: several on the same rows, or one of another
    // kind. A mixture of experts is several groups, one a phase.
    enum class Stage { whole, choose, gather, widen, activate, narrow, join };
    struct Group {
        std::vector<int> ops;
        Stage stage;
        std::size_t bytes;                  // of several on rows: what a row of all reads and writes
    };
    using Phases = std::vector<std::vector<Group>>;
    struct Extent {                         // of a group: what it can be cut into
        std::size_t units, bytes;           // rows, tiles or stretches; about what each reads and writes
    };
    class Pass;
    struct Item {                           // of attention: queries of one head of keys
        const Span* span;
        int head, first, count;             // queries: row-major over (row, head of the group)
        int position, stop;                 // of the first query; behind that of the last
    };
    struct Stretch {                        // of an item: its keys in the ranges [first, last)
        int item, first, last;
        int index, of;                      // which it is of how many; of several, each is one range
        std::size_t kept;                   // of kept_: where the first of them puts what it gathers
    };
    struct Attending {                      // what attention with one window is cut into
        std::vector<Stretch> stretches;
        std::size_t bytes = 0;              // of keys and values that one works on, on the mean
    };

    int rows_of(int buffer, const Batch& b) const { return buffers_[buffer].wanted ? b.wanted_rows : b.rows; }
    float* row(int buffer, int r) { return buffers_[buffer].data.data() + static_cast<std::size_t>(r) * buffers_[buffer].width; }
    void check(const Batch& batch) const;       // check.cpp
    void group(int op, bool opens);             // plan.cpp
    // pass.cpp
    void make_room(const Batch& batch);
    std::size_t cut(const Extent& extent) const;
    Ahead ahead(const Phases& phases, int phase, const Batch& batch, int share, int shares) const;
    Extent extent(const Group& group, const Batch& batch) const;
    void run_units(const Op& op, const Batch& batch, Stage stage, int first, int last);
    // operations.cpp
    int units_of(const Packed& matrix) const;
    Extent matrix_extent(const Packed& matrix, std::size_t rows) const;
    void run_linear(const Op& op, int rows, int first, int last);
    void linear(const Packed& matrix, const float* bias, const float* x, const Quantised* q, int row0,
                int row1, float* out, int out_width, int first, int last) const;
    void run_rows(const Op& op, const Batch& batch, int first, int last);
    void hand_out(const Op& op, const Batch& batch, int first, int last);
    void turns(const Op& op, const Batch& batch, int r);
    void rotate(const Op& op, int r);
    void quantise_row(const float* x, int columns, Sixteen& into, int row) const;
    Quantised view(Sixteen& s, int columns) const;
    // attend.cpp
    void make_room_for_attention(const Batch& batch);
    void store(const Op& op, const Batch& batch, int first, int last);
    std::size_t cut_keys(Attending& into, int window, bool few) const;
    void attend(const Op& op, const Batch& batch, const Stretch& stretch);
    // experts.cpp
    void make_room_for_experts(const Op& op, std::size_t rows);
    Extent mixture_extent(const Op& op, Stage stage, std::size_t rows) const;
    void run_mixture(const Op& op, Stage stage, int rows, int first, int last);
    void choose_experts(const Op& op, int rows);
    void order_by_expert(int experts, int all);
    template <class Do> void each_expert(int units, int first, int last, Do work) const;
    void gather_rows(const Op& op, int first, int last);
    void widen(const Op& op, int first, int last);
    void activate_rows(const Op& op, int first, int last);
    void narrow(const Op& op, int first, int last);
    void join_rows(const Op& op, int first, int last);

    std::shared_ptr<Pool> pool_;
    const Kernels* kernels_;
    Layout layout_;
    std::vector<Op> ops_;
    std::vector<int> stops_;                // before these operations
    std::vector<Phases> parts_;             // what lies between stops
    std::vector<Buffer> buffers_;
    std::vector<Sixteen> sixteens_;
    int result_ = -1;

    // Scratch of one pass.
    std::vector<Item> items_;
    std::map<int, Attending> attending_;    // by window
    std::vector<Gathered> kept_;            // [stretch][query] of an item that has several
    std::vector<float> kept_mixed_;         // [kept_][padded_dim]
    std::vector<std::atomic<int>> arrived_;     // item -> its stretches that are done
    struct Routed {                         // a row at one of its experts
        int row, expert;
        float weight;
    };
    std::vector<Routed> chosen_, routed_;   // by row; the same by expert
    std::vector<int> ends_, places_;        // expert -> its last of routed_ + 1; of chosen_ -> of routed_
    std::vector<int> active_;               // experts that have rows
    std::vector<float> chances_, gathered_, up_, gate_, down_;
    Sixteen sixteen_in_, sixteen_mid_;
    std::atomic<bool> beyond_half_{false};
};

}  // namespace pellucid
