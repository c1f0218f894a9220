#pragma once

#include "DatasetKernels.h"
#include "NeuralKernels.h"
#include "NormalizationKernels.h"
#include "ElementwiseKernels.h"
#include "SpinWait.h"
#include "UpdateKernels.h"
