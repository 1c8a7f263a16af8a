/*
 * LibTorch behind C functions: the only C++ of the project.
 */


#include <torch/script.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "torch_shim.h"


using torch::jit::Module;


struct torch_model_s {
    Module  module;
};


/* Only where libblas.so.3 is OpenBLAS. */
extern "C" void openblas_set_num_threads(int n) __attribute__((weak));


/* The text of an exception without the stack traces that LibTorch adds. */

static int
fail(char *err, const std::exception &e)
{
    std::string             text(e.what());
    std::string::size_type  at;

    at = text.rfind("RuntimeError: ");

    if (at != std::string::npos) {
        text.erase(0, at + strlen("RuntimeError: "));
    }

    at = text.find("\nException raised from");

    if (at != std::string::npos) {
        text.erase(at);
    }

    text.erase(text.find_last_not_of(" \n") + 1);

    for (char &c : text) {
        if (c == '\n') {
            c = ' ';
        }
    }

    snprintf(err, TORCH_ERROR, "%s", text.c_str());

    return -1;
}


/* Runs body, which may throw anything. */

template <typename F>
static int
guard(char *err, F body)
{
    try {
        body();
        return 0;

    } catch (const c10::Error &e) {
        return fail(err, std::runtime_error(e.what_without_backtrace()));

    } catch (const std::exception &e) {
        return fail(err, e);

    } catch (...) {
        return fail(err, std::runtime_error("unknown exception"));
    }
}


static at::Generator
generator(uint64_t seed)
{
    return at::make_generator<at::CPUGeneratorImpl>(seed);
}


static at::Tensor
uniform(std::vector<int64_t> sizes, double bound, at::Generator gen,
    at::ScalarType type)
{
    at::Tensor  t;

    t = at::empty(sizes, at::TensorOptions().dtype(type));

    return t.uniform_(-bound, bound, gen);
}


static void
remember_input(Module &m, int64_t n)
{
    m.register_attribute("mark_input", c10::ListType::ofInts(),
                         c10::List<int64_t>({ n }));
}


extern "C" void
torch_threads(int n)
{
    at::set_num_threads(n);

    if (openblas_set_num_threads) {
        openblas_set_num_threads(n);
    }
}


extern "C" int
torch_load(torch_model_t **model, const char *file, char *err)
{
    return guard(err, [&] {
        Module  m = torch::jit::load(file);

        m.eval();
        m.get_method("forward");

        *model = new torch_model_t { m };
    });
}


extern "C" int
torch_save(torch_model_t *model, const char *file, char *err)
{
    return guard(err, [&] {
        model->module.save(file);
    });
}


/*
 * A layer is a 1x1 convolution over an image of one line and a row of the
 * batch a pixel: oneDNN packs its weights once and then streams them through
 * the cache once a batch, not once a row.  The generic BLAS multiplies row
 * by row, oneDNN's own linear repacks 64 MB of weights a call, and XNNPACK's
 * streams them once for every few rows.
 */

struct PackedResolver : public torch::jit::Resolver {

    std::shared_ptr<torch::jit::SugaredValue>
    resolveValue(const std::string &name, torch::jit::GraphFunction &m,
        const torch::jit::SourceRange &loc) override
    {
        if (name == "mkldnn_prepacked") {
            return std::make_shared<torch::jit::BuiltinModule>(name);
        }

        return torch::jit::nativeResolver()->resolveValue(name, m, loc);
    }
};


static bool
have_packed(void)
{
    return at::globalContext().hasMKLDNN()
           && c10::Dispatcher::singleton()
                  .findSchema({"mkldnn_prepacked::conv2d_prepack", ""});
}


static c10::IValue
pack(at::Tensor w, at::Tensor b)
{
    torch::jit::Stack     stack;
    std::vector<int64_t>  one({ 1, 1 }), zero({ 0, 0 });
    std::vector<int64_t>  image({ 1, w.size(1), 1, 4 });

    stack = { w.view({ w.size(0), w.size(1), 1, 1 }), b, one, zero, one,
              (int64_t) 1, image, "none" };

    c10::Dispatcher::singleton()
        .findSchemaOrThrow("mkldnn_prepacked::conv2d_prepack", "")
        .callBoxed(&stack);

    return stack[0];
}


extern "C" int
torch_perceptron(torch_model_t **model, const int64_t *sizes, size_t nsizes,
    uint64_t seed, char *err)
{
    return guard(err, [&] {
        bool           packed = have_packed();
        size_t         i;
        double         bound;
        Module         m("perceptron");
        at::Tensor     w, b;
        std::string    src, n;
        c10::IValue    p;
        at::Generator  gen = generator(seed);

        src = "def forward(self, x):\n";

        if (packed) {
            src += "    x = torch.clone(torch.t(x), memory_format=0)\n"
                   "    x = torch.view(x, [1, x.size(0), 1, x.size(1)])\n";
        }

        for (i = 0; i + 1 < nsizes; i++) {
            n = std::to_string(i);

            /* keeps the variance of what passes through at one */

            bound = std::sqrt((i ? 6.0 : 3.0) / sizes[i]);

            w = uniform({ sizes[i + 1], sizes[i] }, bound, gen, at::kFloat);
            b = uniform({ sizes[i + 1] }, 0.1, gen, at::kFloat);

            if (packed) {
                p = pack(w, b);
                m.register_attribute("w" + n, p.type(), p);
                src += "    x = mkldnn_prepacked.conv2d_run(x, self.w" + n
                       + ")\n";

            } else {
                m.register_buffer("w" + n, w);
                m.register_buffer("b" + n, b);
                src += "    x = torch.linear(x, self.w" + n + ", self.b" + n
                       + ")\n";
            }

            if (i + 2 < nsizes) {
                src += "    x = torch.relu_(x)\n";
            }
        }

        if (packed) {
            src += "    x = torch.t(torch.view(x, [x.size(1), x.size(3)]))\n";
        }

        src += "    return x\n";

        m.define(src, std::make_shared<PackedResolver>());
        m.eval();
        remember_input(m, sizes[0]);

        *model = new torch_model_t { m };
    });
}


/* Adam, with the usual constants, on whole-number batches of 64 rows. */

static void
train(Module &m, const torch_lesson_t *lesson, at::Generator gen)
{
    unsigned                 epoch;
    int64_t                  i, step, size;
    double                   rate, c1, c2;
    at::Tensor               rows, labels, order, pick, loss;
    std::vector<at::Tensor>  params, m1, m2;

    rows = at::from_blob((void *) lesson->rows,
                         { (int64_t) lesson->n, (int64_t) lesson->nfeatures },
                         at::TensorOptions().dtype(at::kFloat));
    labels = at::from_blob((void *) lesson->labels, { (int64_t) lesson->n },
                           at::TensorOptions().dtype(at::kLong));

    for (const auto &p : m.parameters()) {
        params.push_back(p);
        m1.push_back(at::zeros_like(p));
        m2.push_back(at::zeros_like(p));
    }

    step = 0;
    size = 64;

    for (epoch = 0; epoch < lesson->epochs; epoch++) {

        rate = 0.005 * (1.0 - (double) epoch / lesson->epochs);
        order = at::randperm((int64_t) lesson->n, gen, at::kLong, c10::nullopt,
                             c10::nullopt, c10::nullopt);

        for (i = 0; i < (int64_t) lesson->n; i += size) {

            pick = order.slice(0, i, i + size);

            loss = at::cross_entropy_loss(
                       m.get_method("logits")({ rows.index_select(0, pick) })
                           .toTensor(),
                       labels.index_select(0, pick));
            loss.backward();

            at::NoGradGuard  guard;

            step++;
            c1 = 1.0 - std::pow(0.9, step);
            c2 = 1.0 - std::pow(0.999, step);

            for (size_t k = 0; k < params.size(); k++) {
                at::Tensor  g = params[k].grad() + 1e-4 * params[k];

                m1[k].mul_(0.9).add_(g, 0.1);
                m2[k].mul_(0.999).addcmul_(g, g, 0.001);
                params[k].sub_(rate * (m1[k] / c1)
                               / ((m2[k] / c2).sqrt() + 1e-8));
                params[k].mutable_grad().zero_();
            }
        }
    }
}


extern "C" int
torch_classifier(torch_model_t **model, const torch_lesson_t *lesson,
    char *err)
{
    return guard(err, [&] {
        int64_t        in = lesson->nfeatures, hidden = lesson->nhidden;
        int64_t        out = lesson->nclasses;
        Module         m("classifier");
        at::Generator  gen = generator(lesson->seed);

        m.register_parameter("w0", uniform({ hidden, in },
                             std::sqrt(6.0 / in), gen, at::kDouble), false);
        m.register_parameter("b0", at::zeros({ hidden }, at::kDouble), false);
        m.register_parameter("w1", uniform({ out, hidden },
                             std::sqrt(3.0 / hidden), gen, at::kDouble),
                             false);
        m.register_parameter("b1", at::zeros({ out }, at::kDouble), false);
        m.register_attribute("scale", c10::FloatType::get(),
                             (double) lesson->scale);

        /* TorchScript from C++ knows the types by number: 6 float, 7 double */

        m.define("def logits(self, x):\n"
                 "    x = torch.to(x, 7) / self.scale\n"
                 "    x = torch.relu(torch.linear(x, self.w0, self.b0))\n"
                 "    return torch.linear(x, self.w1, self.b1)\n"
                 "\n"
                 "def forward(self, x):\n"
                 "    return torch.to(torch.softmax(self.logits(x), -1), 6)\n");

        remember_input(m, in);

        for (auto p : m.parameters()) {
            p.set_requires_grad(true);
        }

        train(m, lesson, gen);

        for (auto p : m.parameters()) {
            p.set_requires_grad(false);
        }

        m.eval();

        *model = new torch_model_t { m };
    });
}


extern "C" void
torch_model_free(torch_model_t *model)
{
    delete model;
}


extern "C" int
torch_input(torch_model_t *model, int64_t *dims)
{
    int   n = -1;
    char  err[TORCH_ERROR];

    (void) guard(err, [&] {
        c10::IValue  v;

        if (!model->module.hasattr("mark_input")) {
            return;
        }

        v = model->module.attr("mark_input");

        if (!v.isIntList() || v.toIntVector().size() >= TORCH_MAX_DIMS) {
            return;
        }

        n = 0;

        for (int64_t d : v.toIntVector()) {
            dims[n++] = d;
        }
    });

    return n;
}


extern "C" int
torch_forward(torch_model_t *model, const float *in, const int64_t *dims,
    int ndims, float **out, int64_t *out_dims, int *out_ndims, char *err)
{
    static thread_local bool  ready;

    return guard(err, [&] {
        size_t               size;
        c10::IValue          v;
        at::Tensor           x, y;
        c10::InferenceMode   mode;

        if (!ready) {
            /* the number of threads is a setting of each thread */
            at::init_num_threads();
            ready = true;
        }

        x = at::from_blob((void *) in, at::IntArrayRef(dims, ndims),
                          at::TensorOptions().dtype(at::kFloat));

        v = model->module.forward({ x });

        if (v.isTuple() && v.toTuple()->elements().size() > 0) {
            v = v.toTuple()->elements()[0];
        }

        if (!v.isTensor()) {
            throw std::runtime_error("the model's answer is not a tensor");
        }

        y = v.toTensor().to(at::kCPU, at::kFloat).contiguous();

        if (y.dim() > TORCH_MAX_DIMS) {
            throw std::runtime_error("the model's answer has too many "
                                     "dimensions");
        }

        size = y.numel() * sizeof(float);
        *out = (float *) malloc(size ? size : 1);

        if (*out == NULL) {
            throw std::bad_alloc();
        }

        memcpy(*out, y.data_ptr<float>(), size);

        *out_ndims = y.dim();

        for (int i = 0; i < y.dim(); i++) {
            out_dims[i] = y.size(i);
        }
    });
}


extern "C" void
torch_output_free(float *out)
{
    free(out);
}


extern "C" size_t
torch_float_print(float value, char *buf)
{
    return std::to_chars(buf, buf + TORCH_FLOAT_LEN, value).ptr - buf;
}


extern "C" int
torch_float_parse(const char *p, const char *last, float *value)
{
    double                  d;
    std::from_chars_result  rc;

    rc = std::from_chars(p, last, *value);

    if (rc.ec == std::errc() && rc.ptr == last) {
        return 0;
    }

    if (rc.ec != std::errc::result_out_of_range || rc.ptr != last) {
        return -1;
    }

    /* too large or too small: what is below one is small */

    rc = std::from_chars(p, last, d);

    if (rc.ec == std::errc() && std::fabs(d) < 1.0) {
        *value = (float) d;
        return 0;
    }

    if (rc.ec == std::errc()) {
        return -1;
    }

    d = strtod(std::string(p, last).c_str(), NULL);

    if (std::fabs(d) < 1.0) {
        *value = std::signbit(d) ? -0.0f : 0.0f;
        return 0;
    }

    return -1;
}
